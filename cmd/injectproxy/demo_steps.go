package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// demoStep is one claim and the proof of it. Run returns what was seen, and an
// error if the claim did not hold.
type demoStep struct {
	title string
	run   func(ctx context.Context, w *demoWorld) (saw []string, err error)
}

var demoSteps = []demoStep{
	{"Without the proxy, the MCP server refuses", stepRefused},
	{"Through the proxy, the same call gets a token and is accepted", stepAccepted},
	{"A sibling of the prefix gets no token", stepSibling},
	{"A host in no rule is tunnelled untouched", stepTunnel},
	{"A revoked token is replaced after one 401", stepRevoked},
	{"Fifty requests at once share one new token", stepShared},
	{"A lost MCP session is healed", stepHealed},
	{"Behind a gate, a server is called on behalf of the user", stepOnBehalf},
	{"A tool that the user has no scope for is not there", stepTools},
	{"A Conditional Access challenge of the exchange is met on the way", stepChallenged},
}

const demoInitialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + demoVersion + `","capabilities":{},"clientInfo":{"name":"demo","version":"1"}}}`

func stepRefused(ctx context.Context, w *demoWorld) ([]string, error) {
	status, _, err := w.post(ctx, w.direct, w.mcp, "/mcp", demoInitialize)
	if err != nil {
		return nil, err
	}
	saw := []string{fmt.Sprintf("POST https://%s/mcp → %d", w.mcp.authority, status)}
	return saw, expect(nil, status == http.StatusUnauthorized, "the server should have answered 401, not %d", status)
}

func stepAccepted(ctx context.Context, w *demoWorld) ([]string, error) {
	agent, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	status, body, err := agent.whoami(ctx)
	known := status == http.StatusOK && strings.Contains(body, demoClient)
	if err := expect(err, known, "the tool answered %d %s", status, strings.TrimSpace(body)); err != nil {
		return nil, err
	}
	saw := []string{fmt.Sprintf("MCP   initialize, tools/call whoami → %d, known as %s", status, demoClient)}
	if _, _, err := read(agent.send(ctx, http.MethodDelete, "")); err != nil {
		return saw, err
	}
	words, err := w.stream(ctx)
	if err != nil {
		return saw, err
	}
	saw = append(saw, fmt.Sprintf("LLM   %d events, each before the next was sent: %q", len(words), strings.Join(words, "")))
	status, _, err = w.get(ctx, w.through, w.share, "/shared/report.json")
	saw = append(saw, fmt.Sprintf("share GET /shared/report.json → %d", status))
	return saw, expect(err, status == http.StatusOK, "the share answered %d", status)
}

func stepSibling(ctx context.Context, w *demoWorld) ([]string, error) {
	var saw []string
	for _, at := range []struct {
		server *demoServer
		path   string
	}{{w.mcp, "/mcp-admin"}, {w.share, "/public/readme"}, {w.share, "/shared/..%2fpublic/readme"}} {
		n := at.server.count()
		status, _, err := w.get(ctx, w.through, at.server, at.path)
		if err != nil {
			return saw, err
		}
		seen := at.server.since(n)
		if len(seen) != 1 || seen[0].bearer != "" {
			return saw, fmt.Errorf("%s%s: the server saw a token", at.server.authority, at.path)
		}
		saw = append(saw, fmt.Sprintf("GET %s → %d, no Authorization seen", at.path, status))
	}
	return saw, nil
}

func stepTunnel(ctx context.Context, w *demoWorld) ([]string, error) {
	n := w.site.count()
	res, err := w.do(ctx, w.through, http.MethodGet, w.site, "/", "")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	chain := res.TLS.PeerCertificates
	own := slices.ContainsFunc(res.TLS.VerifiedChains[0], w.origin.Root().Equal)
	saw := []string{fmt.Sprintf("GET https://%s/ → %d, certificate of %s by its own CA", w.site.authority, res.StatusCode, chain[0].DNSNames[0])}
	if !own {
		return nil, fmt.Errorf("the certificate of %s is not the site's own: it was intercepted", w.site.authority)
	}
	seen := w.site.since(n)
	return saw, expect(nil, len(seen) == 1 && seen[0].bearer == "", "the site saw %d requests or a token", len(seen))
}

func stepRevoked(ctx context.Context, w *demoWorld) ([]string, error) {
	old, err := w.revoke(ctx)
	if err != nil {
		return nil, err
	}
	n, asked := w.share.count(), w.tokenRequests()
	status, _, err := w.get(ctx, w.through, w.share, "/shared/report.json")
	if err != nil {
		return nil, err
	}
	seen := w.share.since(n)
	saw := []string{fmt.Sprintf("the server saw %s; the client saw %d; Entra was asked %d time(s)", statuses(seen), status, w.tokenRequests()-asked)}
	switch {
	case status != http.StatusOK:
		return saw, fmt.Errorf("the client should have seen 200")
	case len(seen) != 2 || seen[0].status != http.StatusUnauthorized || seen[0].bearer != old || seen[1].bearer == old:
		return saw, fmt.Errorf("the server should have seen the old token once and another one once")
	}
	return saw, expect(nil, w.tokenRequests()-asked == 1, "Entra should have been asked once")
}

func stepShared(ctx context.Context, w *demoWorld) ([]string, error) {
	const clients = 50
	if _, err := w.revoke(ctx); err != nil {
		return nil, err
	}
	asked := w.tokenRequests()
	var ok, other int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			status, _, err := w.get(ctx, w.through, w.share, fmt.Sprintf("/shared/%d.json", i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil && status == http.StatusOK {
				ok++
			} else {
				other++
			}
		})
	}
	all.Wait()
	saw := []string{fmt.Sprintf("%d requests with a revoked token → %d accepted; Entra was asked %d time(s)", clients, ok, w.tokenRequests()-asked)}
	return saw, expect(nil, other == 0 && w.tokenRequests()-asked == 1, "all should have been accepted, and Entra asked once")
}

// demoPatience is how long the server has something to say, and nobody there
// who hears it.
const demoPatience = 30 * time.Second

// stepHealed has the server forget its sessions, as it does when it is
// restarted, under a client that knows nothing of it.
func stepHealed(ctx context.Context, w *demoWorld) ([]string, error) {
	const calls = 10
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	agent, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := agent.log(ctx); err != nil {
		return nil, err
	}
	stream, err := agent.listen(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	w.sessions.forget()
	answered := agent.whoamis(ctx, calls)
	begun, ran := w.sessions.counted()
	saw := []string{
		fmt.Sprintf("%d calls in a session that the server has forgotten → %d answered", calls, answered),
		fmt.Sprintf("the server saw initialize %d time(s), and ran each call once", begun),
	}
	if answered != calls || begun != 1 || ran != calls {
		saw[1] = fmt.Sprintf("the server saw initialize %d time(s), and ran %d calls", begun, ran)
		return saw, errors.New("all should have been answered, in one new session, and run once")
	}
	if err := w.sessions.say(ctx, "warning", "back again"); err != nil {
		return saw, err
	}
	methods, err := heard(stream, "notifications/message")
	return append(saw, "on the stream that the client had before: "+strings.Join(methods, ", ")), err
}

// revoke has Entra revoke the token that the share service accepts, and
// returns it.
func (w *demoWorld) revoke(ctx context.Context) (string, error) {
	n := w.share.count()
	status, _, err := w.get(ctx, w.through, w.share, "/shared/report.json")
	if err := expect(err, status == http.StatusOK, "before anything was revoked, the share answered %d", status); err != nil {
		return "", err
	}
	seen := w.share.since(n)
	bearer := seen[len(seen)-1].bearer
	w.entra.Revoke(bearer)
	return bearer, nil
}
