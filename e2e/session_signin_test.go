package e2e_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// signing is an audience whose tokens come from an az that somebody can sign
// in to, or not.
type signing struct {
	t      *testing.T
	az     string
	config string // AZURE_CONFIG_DIR
	tokens []string
}

// newSigning returns one with somebody signed in.
func newSigning(t *testing.T) *signing {
	t.Helper()
	s := &signing{t: t, config: t.TempDir(), az: filepath.Join(t.TempDir(), "az")}
	if err := os.WriteFile(s.az, []byte(azScript), 0o700); err != nil {
		t.Fatal(err)
	}
	s.in()
	return s
}

// azScript says what az says.
const azScript = `#!/bin/sh
case "$1 $2" in
"account get-access-token")
	cat "$AZURE_CONFIG_DIR/token" 2>/dev/null && exit
	echo "ERROR: Please run 'az login' to setup account." >&2
	exit 1 ;;
esac
exit 2
`

// in signs somebody in, to another token than before.
func (s *signing) in() (token string) {
	s.t.Helper()
	token = rand.Text()
	s.tokens = append(s.tokens, token)
	writeFile(s.t, filepath.Join(s.config, "token"), fmt.Sprintf(`{"accessToken": %q, "expires_on": 4102444800}`, token))
	writeFile(s.t, filepath.Join(s.config, "msal_token_cache.json"), strings.Repeat(" ", len(s.tokens))) // which tells that it is worth asking again
	return token
}

// out signs out whoever is signed in.
func (s *signing) out() {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.config, "token")); err != nil {
		s.t.Fatal(err)
	}
}

// options are for a rule with this prefix.
func (s *signing) options(prefix string) options {
	return options{rules: fmt.Sprintf(`
[entra]
az_path = %q
[token]
login = "off"
[audience.gateway]
resource = "api://gateway"
sources = ["az"]
[[rule]]
prefix = %q
audience = "gateway"
kind = "mcp"
`, s.az, prefix), env: []string{"AZURE_CONFIG_DIR=" + s.config}}
}

const azLogin = "az login --scope api://gateway/.default --allow-no-subscriptions"

// wantHint wants a call to fail, and what the SDK shows of it to be what the
// person has to do.
func wantHint(c *sessionClient) error {
	l, err := c.do(echoes("who is there?", 1))
	if err != nil {
		return err
	}
	return hint(c, l.Results[0])
}

func hint(c *sessionClient, r line) error {
	if !strings.Contains(r.Error, azLogin) || !strings.HasPrefix(string(r.Code), "-320") {
		return fmt.Errorf("%s: a call without a sign-in: %v, want the hint %q", c.name, r, azLogin)
	}
	return nil
}

// goesOn has the client call as a person would tell it to, again and again
// until somebody has seen that there is a token now.
func goesOn(c *sessionClient) error {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	guard := time.After(guardTime)
	for {
		l, err := c.do(echoes("back", 1))
		if err != nil {
			return err
		}
		if l.Results[0].Error == "" {
			return c.must(echoes("back", 3))
		}
		if err := hint(c, l.Results[0]); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-guard:
			return fmt.Errorf("%s: still no call succeeds: %v", c.name, l)
		}
	}
}

// TestSessionSurvivesASignInThatIsNeeded: the token ends and there is no other
// until somebody signs in. Each client says how, and after that goes on in the
// session that it has; also where the server has lost that session meanwhile,
// so that it cannot be recovered before.
func TestSessionSurvivesASignInThatIsNeeded(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "the session is there", true: "the session is lost"}[lost], func(t *testing.T) {
			t.Parallel()
			w, s := newWorld(t), newSigning(t)
			m := newMortal(t, n)
			u := w.upstream("mcp.corp.test", s.tokens[0], http2too, m)
			p := w.serve(s.options(u.url + "/mcp"))
			var clients []*sessionClient
			for _, sdk := range sdks(n) {
				clients = append(clients, sdk.start(t, p, sdk.name, u.url+"/mcp"))
			}
			together(t, clients, func(c *sessionClient) error { return c.must(command{Do: "connect"}, echoes("here", 1)) })

			s.out()
			u.accept("none")
			sessions := 1
			if lost {
				sessions++
				m.stop()
				m.start()
			}
			// The first is refused by the server, the others have no token to be sent with.
			together(t, clients, func(c *sessionClient) error { return errors.Join(wantHint(c), wantHint(c)) })

			u.accept(s.in())
			together(t, clients, goesOn)
			for _, c := range clients {
				if begun := m.all(c.name, func(m message) bool { return m.method == "initialize" }); len(begun) != sessions {
					t.Errorf("%s: %d initialize arrived, want %d", c.name, len(begun), sessions)
				}
			}
			for _, token := range s.tokens {
				if strings.Contains(p.log.String(), token) {
					t.Error("the log has a token")
				}
			}
		})
	}
}

// TestStreamAndBatchGetThePlainStatus: nobody waits for a JSON-RPC answer to
// these, or it is not known for what.
func TestStreamAndBatchGetThePlainStatus(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), newSigning(t)
	s.out()
	u := w.upstream("mcp.corp.test", "none", http2too, digest)
	p := w.serve(s.options(u.url + "/mcp"))
	c := p.client(t, "h2")
	for name, r := range map[string]*http.Request{
		"stream": mcpRequest(t, http.MethodGet, u.url+"/mcp", ""),
		"batch":  mcpRequest(t, http.MethodPost, u.url+"/mcp", `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]`),
	} {
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusNetworkAuthenticationRequired || res.Header.Get("Www-Authenticate") != "" || !strings.Contains(string(body), azLogin) {
			t.Errorf("%s: %s %v %s", name, res.Status, res.Header, body)
		}
		if got := res.Header.Values("Proxy-Status"); len(got) != 1 || !slices.Equal(res.Header.Values("X-Should-Retry"), []string{"false"}) {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
	if len(u.to("/mcp")) > 0 {
		t.Error("a request was sent without a token")
	}
}
