package gate

import (
	"io"
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
