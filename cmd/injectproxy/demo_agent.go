package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// demoAgent is a client of the MCP server that keeps the session id that it
// was given for as long as it lives, as many do.
type demoAgent struct {
	through  *http.Client
	endpoint string
	session  string
}

// connect begins a session through the proxy.
func (w *demoWorld) connect(ctx context.Context) (*demoAgent, error) {
	return connectAgent(ctx, w.through, "https://"+w.mcp.authority+"/mcp")
}

func connectAgent(ctx context.Context, through *http.Client, endpoint string) (*demoAgent, error) {
	a := &demoAgent{through: through, endpoint: endpoint}
	res, err := a.send(ctx, http.MethodPost, demoInitialize)
	if err != nil {
		return nil, err
	}
	a.session = res.Header.Get("Mcp-Session-Id")
	status, _, err := read(res, nil)
	if err := expect(err, status == http.StatusOK && a.session != "", "initialize was answered with status %d", status); err != nil {
		return nil, err
	}
	status, _, err = read(a.send(ctx, http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/initialized"}`))
	return a, expect(err, status == http.StatusAccepted, "notifications/initialized was answered with status %d", status)
}

// send sends one message, or what the session's stream or end takes.
func (a *demoAgent) send(ctx context.Context, method, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.endpoint, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.session != "" {
		req.Header.Set("Mcp-Session-Id", a.session)
		req.Header.Set("MCP-Protocol-Version", demoVersion)
	}
	return a.through.Do(req)
}

// whoami calls the one tool that there is.
func (a *demoAgent) whoami(ctx context.Context) (int, string, error) {
	return read(a.send(ctx, http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`))
}

// whoamis calls it n times at once, and returns how many calls were answered.
func (a *demoAgent) whoamis(ctx context.Context, n int) (answered int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			status, body, err := a.whoami(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && status == http.StatusOK && strings.Contains(body, demoClient) {
				answered++
			}
		})
	}
	all.Wait()
	return answered
}

// log asks for the server's log messages from warnings on.
func (a *demoAgent) log(ctx context.Context) error {
	status, _, err := read(a.send(ctx, http.MethodPost, `{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"warning"}}`))
	return expect(err, status == http.StatusOK, "logging/setLevel was answered with status %d", status)
}

// listen opens the stream on which the server says something unasked.
func (a *demoAgent) listen(ctx context.Context) (io.ReadCloser, error) {
	res, err := a.send(ctx, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("the server's stream was answered with status %d", res.StatusCode)
	}
	return res.Body, nil
}

// heard reads the methods of a stream's messages up to the first that is last.
func heard(stream io.Reader, last string) (methods []string, err error) {
	lines := bufio.NewScanner(stream)
	for !slices.Contains(methods, last) && lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var message struct{ Method string }
		if err := json.Unmarshal([]byte(data), &message); err != nil {
			return methods, err
		}
		methods = append(methods, message.Method)
	}
	return methods, expect(lines.Err(), slices.Contains(methods, last), "the client's stream ended")
}
