package gate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// TestASessionOfAnUpstreamThatIsGoneEndsWhereThereIsAnother holds that its client
// is told to begin anew, and is served then.
func TestASessionOfAnUpstreamThatIsGoneEndsWhereThereIsAnother(t *testing.T) {
	t.Parallel()
	well := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	for _, c := range []struct {
		name      string
		upstreams []string
		resting   bool // the other one could not be reached lately either
		status    int
	}{
		{"another is well", []string{nobody, well.URL}, false, 404},
		{"there is no other", []string{nobody}, false, 502},
		{"the other rests", []string{nobody, well.URL}, true, 502},
	} {
		for _, method := range []string{"POST", "GET", "DELETE"} {
			t.Run(c.name+" "+method, func(t *testing.T) {
				f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}}}}, c.upstreams...)
				if c.resting {
					f.routes[0].upstreams[1].failed.Store(time.Now().Add(time.Hour).UnixNano())
				}
				if _, err := f.sessions.Bind(t.Context(), binding.KeyOf(byHeader, "/", "s1"), binding.Binding{Owner: ownerOf(somebody()), Upstream: nobody}); err != nil {
					t.Fatal(err)
				}
				body := ""
				if method == "POST" {
					body = callEcho
				}
				ask := func(session string) (*http.Response, string) {
					req := f.request(t, method, "/", body)
					req.Header.Set("Accept", "application/json, text/event-stream")
					if session != "" {
						req.Header.Set(headerSession, session)
					}
					return f.do(t, req)
				}
				res, text := ask("s1")
				if res.StatusCode != c.status || method == "POST" && !strings.Contains(text, `"id":1`) {
					t.Errorf("%s, %s", res.Status, text)
				}
				found, _ := f.sessions.Find(t.Context(), binding.KeyOf(byHeader, "/", "s1"))
				if done := <-f.done; done.Lost != (c.status == 404) || found[0].Known() != (c.status == 502) || done.Denied != "" {
					t.Errorf("told of %+v; the session is known: %v", done, found[0].Known())
				}
				if c.status == 404 && method == "POST" {
					if res, text := ask(""); res.StatusCode != 200 {
						t.Errorf("begun anew: %s, %s", res.Status, text)
					}
				}
			})
		}
	}
}

// TestAGateThatCannotReachAServerEndsItsSessionsForNoOther holds for gates that share
// them: where the server is reached they go on. Only when it was out of reach for long
// is a client told to begin anew, and not even then is the session forgotten.
func TestAGateThatCannotReachAServerEndsItsSessionsForNoOther(t *testing.T) {
	t.Parallel()
	one, two := numbering(t, always("one")).URL, numbering(t, always("two")).URL
	a, table := sharing(t, one, two)
	b := among(t, one, two)
	b.sessions = table
	key := binding.KeyOf(byHeader, "/mcp", "held")
	if _, err := table.Bind(t.Context(), key, binding.Binding{Owner: binding.Owner{Tenant: "tenant", Object: alice}, Upstream: one}); err != nil {
		t.Fatal(err)
	}
	u := b.routes[0].upstreams[0]
	u.transport.DisableKeepAlives = true
	works := u.transport.DialContext
	fails := func(context.Context, string, string) (net.Conn, error) {
		return nil, &errUnreached{errors.New("no such host")}
	}
	says := func(f *front, method string, status int) {
		t.Helper()
		body := ""
		if method == "POST" {
			body = callEcho
		}
		res, said := f.do(t, f.as(t, alice, "held", method, body))
		if res.StatusCode != status || status == 502 && res.Header.Get("Retry-After") == "" || status == 404 && method == "POST" && !strings.Contains(said, `"id":1`) {
			t.Errorf("%s: %s, %v, %s; want %d", method, res.Status, res.Header, said, status)
		}
		if done := <-f.done; done.Lost != (status == 404) || done.Denied != "" {
			t.Errorf("%s: told of %+v", method, done)
		}
		if found, _ := table.Find(t.Context(), key); !found[0].Known() {
			t.Fatalf("%s, %d: the session is forgotten", method, status)
		}
	}
	says(b, "POST", 200)
	u.transport.DialContext = fails
	for _, method := range []string{"POST", "GET", "DELETE", "POST"} {
		says(b, method, 502)
	}
	says(a, "POST", 200)
	u.away.Add(-int64(goneAfter))
	for _, method := range []string{"POST", "GET", "DELETE"} {
		says(b, method, 404)
	}
	says(a, "POST", 200)
	u.transport.DialContext = works
	says(b, "POST", 200)
	u.transport.DialContext = fails
	says(b, "POST", 502) // it was back
}
