package gate

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestARequestAndItsAnswerPassAsTheyAre(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s [%s]", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Own"), b))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	f := stand(t, Options{Routes: []Route{{Path: "/mcp", Allow: true, Tools: []Grant{{Pattern: "admin"}}}}}, upstream.URL)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		body := ""
		if method == "POST" {
			body = callEcho
		}
		req := f.request(t, method, "/mcp/a%20b/?x=%2f&y", body)
		req.Header.Set("X-Own", "mine")
		res, got := f.do(t, req)
		want := fmt.Sprintf("%s %s %s %s [%s]", method, "/mcp/a%20b/?x=%2f&y", f.url[len("http://"):], "mine", body)
		if seen := res.Header.Get("X-Seen"); res.StatusCode != 202 || seen != want || got != `{"jsonrpc":"2.0","id":1,"result":{}}` {
			t.Errorf("%s: %s, %q, %q; the upstream should see %q", method, res.Status, seen, got, want)
		}
		done := <-f.done
		if done.Status != 202 || done.Bytes != int64(len(got)) || done.Attempts != 1 || !done.Allowed || done.Duration <= 0 || done.Upstream != upstream.Listener.Addr().String() {
			t.Errorf("%s: told of %+v", method, done)
		}
	}
}
