//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// visitor is an MCP client with one session, that sees whatever goes wrong.
type visitor struct {
	f      *fleet
	c      *http.Client
	token  string
	path   string
	id     string // of the session; "": it has none
	server string // that has it
	calls  int    // that were answered
	sent   int    // requests

	events chan int // what the server said of its own accord
}

// visit returns a client of what listens at addr, over HTTP/1.1 if old.
func (f *fleet) visit(addr string, old bool) *visitor {
	v := &visitor{f: f, c: f.client(addr), token: f.user("access_as_user"), path: "/mcp"}
	if old {
		tr := v.c.Transport.(*http.Transport)
		tr.ForceAttemptHTTP2, tr.Protocols = false, new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}
	return v
}

// at is v at another address, as another user if a token is given.
func (v *visitor) at(addr, token string) *visitor {
	other := *v
	other.c = v.f.client(addr)
	if token != "" {
		other.token = token
	}
	return &other
}

func (v *visitor) request(ctx context.Context, method, body string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, gateURL+v.path, nil)
	if err != nil {
		panic(err)
	}
	if body != "" {
		again := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = again()
		req.GetBody, req.ContentLength = again, int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	if v.id != "" {
		req.Header.Set("Mcp-Session-Id", v.id)
		req.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	return req
}

// post sends a message and returns what came of it.
func (v *visitor) post(method, params string) (reply, error) {
	v.sent++
	id := fmt.Sprintf(`"id":%d,`, v.sent)
	if strings.HasPrefix(method, "notifications/") {
		id = ""
	}
	return trySend(v.c, v.request(v.f.t.Context(), http.MethodPost, fmt.Sprintf(`{"jsonrpc":"2.0",%s"method":%q,"params":%s}`, id, method, params)))
}

// begin begins the session.
func (v *visitor) begin() error {
	const hello = `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"visitor","version":"1"}}`
	r, err := v.post("initialize", hello)
	for late := time.Now().Add(guard); err == nil && r.unknown() && time.Now().Before(late); v.pause() {
		r, err = v.post("initialize", hello)
	}
	if err != nil || r.status != http.StatusOK || r.header.Get("Mcp-Session-Id") == "" {
		return fmt.Errorf("initialize: %d %s, %v", r.status, r.body, err)
	}
	v.id = r.header.Get("Mcp-Session-Id")
	if r, err = v.post("notifications/initialized", `{}`); err != nil || r.status != http.StatusAccepted {
		return fmt.Errorf("initialized: %d %s, %v", r.status, r.body, err)
	}
	return nil
}

// errStatus is an answer that is none of the tool.
type errStatus struct{ reply }

func (e errStatus) Error() string { return fmt.Sprintf("%d %s", e.status, e.body) }

// call calls the tool count, and returns which server answered and how often it was
// called by then. The error is an errStatus where there was an answer.
func (v *visitor) call() (server string, n int, err error) {
	r, err := v.post("tools/call", `{"name":"count","arguments":{}}`)
	if err != nil {
		return "", 0, err
	}
	var m struct {
		Result struct{ Content []struct{ Text string } }
	}
	for line := range strings.Lines(r.body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			_ = json.Unmarshal([]byte(data), &m)
		}
	}
	if r.status != http.StatusOK || len(m.Result.Content) != 1 {
		return "", 0, errStatus{r}
	}
	_, err = fmt.Sscanf(m.Result.Content[0].Text, "%s %d", &server, &n)
	return server, n, err
}

// unknown reports whether r says that sessions cannot be looked up.
func (r reply) unknown() bool {
	return r.status == http.StatusServiceUnavailable && strings.Contains(r.body, "sessions-unknown")
}

// known is call, made again where the gate could not look the session up, which is
// what happens on a machine so busy that Redis takes a second: nothing was sent on.
func (v *visitor) known() (server string, n int, err error) {
	for late := time.Now().Add(guard); ; v.pause() {
		server, n, err = v.call()
		var answer errStatus
		if !errors.As(err, &answer) || !answer.unknown() || time.Now().After(late) {
			return server, n, err
		}
	}
}

// next calls once, and is an error unless it is the session's next call at its own
// server.
func (v *visitor) next() error {
	server, n, err := v.known()
	if err != nil {
		return err
	}
	if v.calls++; n != v.calls || v.server != "" && server != v.server {
		return fmt.Errorf("call %d was number %d of server %s; the session is at %s", v.calls, n, server, v.server)
	}
	v.server = server
	return nil
}

// hold holds the session's stream open until ctx ends, comes back for what it missed
// whenever it ends cleanly, and passes on the numbers of its events. opened has a value
// for each time that it stands.
func (v *visitor) hold(ctx context.Context, opened chan<- struct{}) error {
	last := ""
	c := *v.c
	c.Timeout = 0 // it would be that of the stream
	for {
		req := v.request(ctx, http.MethodGet, "")
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res, err := c.Do(req)
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		switch res.StatusCode {
		case http.StatusOK:
			opened <- struct{}{}
			err = v.follow(res.Body, &last)
		case http.StatusConflict, http.StatusServiceUnavailable: // the server has not heard that it ended, or see known
			v.pause()
		default:
			err = fmt.Errorf("the stream: %s", res.Status)
		}
		res.Body.Close()
		if err != nil {
			return ignoreEnd(ctx, err)
		}
	}
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow reads a stream to its end.
func (v *visitor) follow(body io.Reader, last *string) error {
	lines := bufio.NewReader(body)
	id := ""
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil {
			return errors.Join(errors.New("the stream broke off"), err)
		}
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = strings.TrimSpace(rest)
		}
		var m struct{ Params struct{ Progress float64 } }
		if rest, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(rest), &m) == nil && m.Params.Progress > 0 {
			v.events <- int(m.Params.Progress)
		}
		if line == "\n" && id != "" {
			*last, id = id, ""
		}
	}
}

// pause lets others go first.
func (v *visitor) pause() { <-time.NewTimer(20 * time.Millisecond).C }
