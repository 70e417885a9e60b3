package stdio

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What a server says to a request that the bridge has sent in another's place is
// for the client all the same: an error without an id, and a response that is
// no message, after which there is no other.
func TestWhatIsSaidToAnErrandIsNotLost(t *testing.T) {
	t.Parallel()
	refused := func(w http.ResponseWriter, _ *http.Request, _ message) {
		w.Header().Set("Content-Type", typeJSON)
		io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"your licence has run out"}}`)
	}
	misspoken := func(w http.ResponseWriter, r *http.Request, m message) {
		say(w, `data: {"jsonrpc":"1.0","id":`+string(m.ID)+`,"result":{}}`+"\n\n")
		<-r.Context().Done()
	}
	for name, tt := range map[string]struct {
		front func(w http.ResponseWriter, r *http.Request, body string) bool
		first string // what the client says before; "": nothing
		ask   string
		id    string
	}{
		"initialize":          {textRefusal, "", hello, "0"},
		"a translated client": {refusesLegacy, hello, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}`, "7"},
		"a lent session":      {textRefusal, modernAsk(`1`, "tools/list", ``), modernCall(`7`, `"t"`, `{}`), "7"},
	} {
		for said, answer := range map[string]func(http.ResponseWriter, *http.Request, message){
			"your licence has run out": refused, notMessage: misspoken,
		} {
			t.Run(name+": "+said, func(t *testing.T) {
				t.Parallel()
				f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost {
						w.WriteHeader(http.StatusMethodNotAllowed)
						return
					}
					body, _ := io.ReadAll(r.Body)
					m := messageOf(string(body))
					switch {
					case tt.front(w, r, ""):
					case string(m.ID) == tt.id:
						answer(w, r, m)
					case m.ID == nil:
						w.WriteHeader(http.StatusAccepted)
					default:
						answers(http.StatusOK, typeJSON, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"supportedVersions":["2026-07-28"],"protocolVersion":"2025-11-25","capabilities":{}}}`)(w, r)
					}
				})
				c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
				if tt.first != "" {
					c.say(tt.first)
					c.hear()
				}
				c.say(tt.ask)
				if got := c.hear(); !strings.Contains(got, `"id":`+tt.id+`,"error"`) || !strings.Contains(got, said) {
					t.Error(got)
				}
			})
		}
	}
}
