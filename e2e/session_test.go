package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// downTime is how long a server is away at least where everything is wanted.
// Elsewhere it is as long as the proxy takes to have looked for it twice.
func downTime() time.Duration {
	if everythingWanted() {
		return 8 * time.Second
	}
	return 0
}

// everythingWanted tells whether the tests are run for good, as by .ci/run.
func everythingWanted() bool { return os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" }

// thorough skips a test that takes its time where not everything is wanted.
func thorough(t *testing.T) {
	t.Helper()
	if !everythingWanted() {
		t.Skip("it takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
}

// TestSessionSurvivesARestartOfTheServer: the reference server dies with its
// sessions, is away for a while, and comes back knowing nothing. None of the
// clients begins another session, and none has to: a call that is made
// meanwhile fails, those that follow succeed, and what the server sends of its
// own accord still arrives, at the level and for the resources that the client
// had asked for.
func TestSessionSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	m := newMortal(t, n)
	u := w.upstream("mcp.corp.test", g.token, http2too, m)
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/mcp"), hidden: []string{g.token}})
	clients := begin(t, n, p, m, u.url+"/mcp")

	m.stop()
	away := time.After(downTime())
	together(t, clients, func(c *sessionClient) error {
		return errors.Join(m.wait("two attempts to open the stream again", c.name, 2, message.missedGet), wantOneFailure(m, c))
	})
	<-away
	m.forget()
	m.start()

	together(t, clients, func(c *sessionClient) error { return c.must(echoes("again", 10)) })
	together(t, clients, func(c *sessionClient) error {
		session := wantOneRecovery(t, m, c)
		return errors.Join(wantStream(t, m, c, session), c.must(command{Do: "end"}))
	})
	u.wantGuarded(t)
}

// wantOneFailure wants a call to fail while nobody is there, and to be sent
// once.
func wantOneFailure(m *mortal, c *sessionClient) error {
	l, err := c.do(echoes("is anybody there?", 1))
	if err != nil {
		return err
	}
	arrived := len(m.all(c.name, func(m message) bool { return strings.Contains(m.body, "is anybody there?") }))
	if l.Results[0].Error == "" || arrived != 1 {
		return fmt.Errorf("%s: a call while the server was away arrived %d times: %v", c.name, arrived, l)
	}
	return nil
}

// begin starts all clients and has each begin a session in which everything
// works, notifications too.
func begin(t *testing.T, n node, p *serving, m *mortal, url string) []*sessionClient {
	t.Helper()
	var clients []*sessionClient
	for _, s := range sdks(n) {
		clients = append(clients, s.start(t, p, s.name, url))
	}
	together(t, clients, func(c *sessionClient) error {
		if err := c.must(command{Do: "connect"}); err != nil {
			return err
		}
		if err := m.wait("the stream", c.name, 1, message.openGet); err != nil {
			return err
		}
		uri := "demo://resource/" + c.name
		err := c.must(command{Do: "level", Level: "error"}, command{Do: "subscribe", URI: uri}, command{Do: "call", Tool: "toggle-subscriber-updates"})
		if err != nil {
			return err
		}
		return c.sees("notifications/resources/updated", uri)
	})
	return clients
}

// together does the same with all clients at once.
func together(t *testing.T, clients []*sessionClient, do func(*sessionClient) error) {
	t.Helper()
	errs := make([]error, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { errs[i] = do(c) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// wantOneRecovery wants what the client had told the lost session to be told
// to one other, and each call to arrive once. It returns that other.
func wantOneRecovery(t *testing.T, m *mortal, c *sessionClient) (session string) {
	t.Helper()
	of := func(method string) []message {
		return m.all(c.name, func(m message) bool { return m.method == method && m.status < 300 })
	}
	begun := m.all(c.name, func(m message) bool { return m.method == "initialize" })
	if len(begun) != 1 {
		t.Errorf("%s: %d initialize arrived, want one: %+v", c.name, len(begun), begun)
		return ""
	}
	for method, want := range map[string]string{
		"notifications/initialized": "",
		"logging/setLevel":          `"error"`,
		"resources/subscribe":       `"demo://resource/` + c.name + `"`,
	} {
		if got := of(method); len(got) != 1 || !strings.Contains(got[0].body, want) || got[0].session != begun[0].session {
			t.Errorf("%s: of %s arrived %+v, want one with %s", c.name, method, got, want)
		}
	}
	if got := of("tools/call"); len(got) != 10 {
		t.Errorf("%s: %d calls were answered, want 10", c.name, len(got))
	}
	proto := "HTTP/1.1"
	if c.name == "go" {
		proto = "HTTP/2.0"
	}
	for _, msg := range m.all(c.name, func(message) bool { return true }) {
		if msg.proto != proto {
			t.Errorf("%s: %s arrived over %s, want %s", c.name, msg.method, msg.proto, proto)
		}
	}
	return begun[0].session
}

// wantStream wants what the server sends to arrive at the client, which does
// nothing for it: it is the test that has the server send. A message below the
// client's level does not come.
func wantStream(t *testing.T, m *mortal, c *sessionClient, session string) error {
	err := m.wait("the stream of the new session", c.name, 1, func(m message) bool { return m.openGet() && m.session == session })
	if err != nil {
		return err
	}
	if err := c.sees("notifications/tools/list_changed"); err != nil {
		return err
	}
	if err := m.post(session, "resources/subscribe", map[string]any{"uri": "demo://another"}); err != nil { // it logs that as "info"
		return err
	}
	if err := m.post(session, "tools/call", map[string]any{"name": "toggle-subscriber-updates"}); err != nil {
		return err
	}
	for _, uri := range []string{"demo://resource/" + c.name, "demo://another"} {
		if err := c.sees("notifications/resources/updated", uri); err != nil {
			return err
		}
	}
	if c.saw("notifications/message") {
		t.Errorf("%s: a message below its level came", c.name)
	}
	return nil
}

// TestSessionIsLostWithoutRecovery is the control of the test above: it is the
// proxy that these clients owe their sessions to.
func TestSessionIsLostWithoutRecovery(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	m := newMortal(t, n)
	u := w.upstream("mcp.corp.test", g.token, http2too, m)
	p := w.serve(options{rules: g.rules("kind = \"mcp\"\nrecover = \"off\"", u.url+"/mcp"), hidden: []string{g.token}})
	clients := begin(t, n, p, m, u.url+"/mcp")
	m.forget()
	m.replace()
	together(t, clients, func(c *sessionClient) error {
		calls, err := c.do(echoes("again", 10))
		for _, r := range calls.Results {
			if r.Error == "" {
				t.Errorf("%s: a call succeeded: %v", c.name, r)
			}
		}
		if begun := m.all(c.name, func(m message) bool { return m.method == "initialize" }); len(begun) > 0 {
			t.Errorf("%s began another session by itself", c.name)
		}
		return err
	})
}
