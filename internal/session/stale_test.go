package session_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/session"
)

const response = `{"jsonrpc":"2.0","id":5,"result":{"action":"accept"}}`

func TestMessageThatNobodyWaitsForIsDropped(t *testing.T) {
	t.Parallel()
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`
	cancelled := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	rootsChanged := notification("notifications/roots/list_changed")
	call := message(1, "tools/call", "")
	both(t, func(t *testing.T, proto string) {
		for name, tt := range map[string]struct {
			body     string
			status   int
			upstream string
		}{
			"response":                 {response, 202, ""},
			"error":                    {`{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"x"}}`, 202, ""},
			"cancelled":                {cancelled, 202, ""},
			"progress":                 {progress, 202, ""},
			"batch of them":            {"[" + response + "," + progress + "," + cancelled + "]", 202, ""},
			"batch with a call":        {"[" + call + "," + progress + "]", 200, "initialize notifications/initialized batch"},
			"batch of calls":           {"[" + call + "," + call + "]", 200, "initialize notifications/initialized batch"},
			"batch of both":            {"[" + call + "," + response + "]", 404, ""},
			"empty batch":              {"[]", 404, ""},
			"batch that is wrong":      {"[" + call + ",1]", 404, ""},
			"another notification":     {rootsChanged, 202, "initialize notifications/initialized notifications/roots/list_changed"},
			"initialized":              {notification("notifications/initialized"), 202, "initialize notifications/initialized"},
			"initialize":               {initialize, 404, ""},
			"ambiguous":                {`{"jsonrpc":"2.0","id":1,"method":"ping","id":2}`, 404, ""},
			"call in another spelling": {`{"id":1,"jsonrpc":"2.0","m\u0065thod":"ping"}`, 200, "initialize notifications/initialized ping"},
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv).begin()
				srv.set(func(s *server) {
					clear(s.live)
					if name == "initialize" { // this server has one session for each transport
						s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
							w.WriteHeader(404)
							return true
						}
					}
				})
				n := len(srv.all())
				want(t, "status", c.post(tt.body).status, tt.status)
				want(t, "upstream after the message", strings.Join(srv.methods(n)[1:], " "), tt.upstream)
				want(t, "dropped", c.toldOf(session.Dropped), map[bool]int{true: 1}[tt.status == 202 && tt.upstream == ""])
			})
		}
	})
}

// asks has the server make the request id in the stream that answers a call.
func (s *server) asks(id string) {
	s.set(func(s *server) {
		s.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
			if !strings.Contains(string(b), `"ask"`) {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, `data: {"jsonrpc":"2.0","id":`+id+`,"method":"elicitation/create","params":{}}`+"\n\n")
			return true
		}
	})
}

func TestResponseToTheLostSessionDoesNotReachTheNext(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.asks("5")
		c.post(message(1, "ask", ""))
		srv.lose()
		c.call()
		want(t, "stale response", c.post(response).status, 202)
		want(t, "stale batch", c.post("["+response+"]").status, 202)
		want(t, "responses upstream", srv.count("response")+srv.count("batch"), 0)
		srv.asks("6")
		c.post(message(2, "ask", ""))
		c.post(response)
		want(t, "responses upstream, another asked", srv.count("response"), 0)
		srv.asks("5")
		c.post(message(3, "ask", ""))
		want(t, "response", c.post(`{"result":{"action":"accept"},"id":5,"jsonrpc":"2.0"}`).status, 202)
		want(t, "responses upstream, it asked", srv.count("response"), 1)
		srv.asks(`"\u0061/"`)
		c.post(message(4, "ask", ""))
		c.post(`{"jsonrpc":"2.0","id":"a\/","error":{"code":1,"message":"no"}}`)
		want(t, "responses upstream, spelled otherwise", srv.count("response"), 2)
		want(t, "dropped", c.toldOf(session.Dropped), 3)
		c.call()
	})
}

func TestResponseInASessionThatIsWellPasses(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	want(t, "status", c.post(response).status, 202)
	want(t, "responses upstream", srv.count("response"), 1)
}

func TestResponsePassesWhereRequestsCannotBeSeen(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.lose()
	c.call()
	srv.set(func(s *server) {
		s.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
			if !strings.Contains(string(b), `"ask"`) {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "?")
			return true
		}
	})
	c.post(message(1, "ask", ""))
	c.post(response)
	want(t, "responses upstream", srv.count("response"), 1)
}
