package stdio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// modernFar is a modern-only server written by hand: answer says what it answers
// to a request, as a whole result or error; "" leaves it waiting.
func modernFar(t *testing.T, answer func(method, body string) string) (*client, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body)
		_ = json.Unmarshal(body, &m)
		if refusesLegacy(w, r, "") {
			return
		}
		mu.Lock()
		bodies = append(bodies, string(body))
		mu.Unlock()
		said := answer(m.Method, string(body))
		switch {
		case m.Method == "server/discover" && said == "":
			said = `"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"far","version":"1"}}`
		case said == "":
			w.Header().Set("Content-Type", typeStream)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", typeJSON)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, said)
	})
	c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, bodies...)
	}
}

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}`

// greeted is the client that has been initialized.
func greeted(t *testing.T, c *client) {
	t.Helper()
	c.say(hello)
	c.hears(`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"far","version":"1"}}}`)
	c.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func TestLegacyClientIsSpokenForAtAModernServer(t *testing.T) {
	t.Parallel()
	c, bodies := modernFar(t, func(method, _ string) string {
		if method == "server/discover" {
			return ""
		}
		return `"result":{"resultType":"complete","ttlMs":5}`
	})
	greeted(t, c)
	c.say(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	c.hears(`{"jsonrpc":"2.0","id":1,"result":{}}`)
	c.say(`{"jsonrpc":"2.0","id":"a","method":"tools/list"}`)
	c.hears(`{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","ttlMs":5}}`)
	c.say(`{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"debug"}}`)
	c.hears(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	c.say(`{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{}}`)
	c.hears(`{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"logging/setLevel has no level"}}`)
	c.say(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`, `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t"}}`)
	c.hears(`{"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","ttlMs":5}}`)
	c.say(`{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"x:"}}`)
	c.hears(`{"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"the server does not offer subscriptions to resources"}}`)
	c.say(`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":[1]}`)
	if got := c.hear(); !strings.Contains(got, `"code":-32602`) {
		t.Error(got)
	}
	meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}`
	said := bodies()
	wantList(t, "requests", said[1:],
		`{"params":{`+meta+`}},"jsonrpc":"2.0","id":"a","method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{`+meta+`,"io.modelcontextprotocol/logLevel":"debug"},"name":"t"}}`)
}

func TestVersionOfAnInitializeIsOneThatHasSuch(t *testing.T) {
	t.Parallel()
	for asked, told := range map[string]string{"2024-11-05": "2024-11-05", "2025-11-25": "2025-11-25", "2026-07-28": "2025-11-25", "1": "2025-11-25", "": "2025-11-25"} {
		tr := &translator{greeting: []byte(`{"capabilities":{}}`)}
		if got, want := string(tr.welcome([]byte(`{"protocolVersion":"`+asked+`"}`))), `{"protocolVersion":"`+told+`","capabilities":{}}`; got != want {
			t.Errorf("%s: %s", asked, got)
		}
	}
}

// What a server wants to know becomes requests of its own, and goes with the
// request when that is sent again, under another id.
func TestServerThatWantsToKnowMoreIsTold(t *testing.T) {
	t.Parallel()
	wants := func(what string) string { return `"result":{"resultType":"input_required",` + what + `}` }
	ask := `"inputRequests":{"q\u0031":{"method":"elicitation/create","params":{"message":"m"}}}`
	reply := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept"}}` }
	for name, tt := range map[string]struct {
		rounds []string // what the server says, one after another
		reply  func(id string) string
		want   string // its end
		sent   []string
	}{
		"one round": {[]string{wants(ask + `,"requestState":"s\/1"`), `"result":{"x":1}`}, reply, `,"result":{"x":1}}`,
			[]string{`"inputResponses":{"q1":{"action":"accept"}}`, `"requestState":"s\/1"`}},
		"state alone": {[]string{wants(`"requestState":"z"`), `"result":{"x":2}`}, nil, `,"result":{"x":2}}`, []string{`"requestState":"z"`}},
		"no more":     {[]string{`"error":{"code":7,"message":"e"}`}, nil, `,"error":{"code":7,"message":"e"}}`, nil},
		"two rounds":  {[]string{wants(ask + `,"requestState":"1"`), wants(ask + `,"requestState":"2"`), `"result":{}`}, reply, `,"result":{}}`, []string{`"requestState":"2"`}},
		"without end": {[]string{wants(ask)}, reply, `"message":"the server asked the client again and again for more, and was not content"}}`, nil},
		"not declared": {[]string{wants(`"inputRequests":{"q":{"method":"sampling/createMessage","params":{}}}`)}, nil,
			`,"error":{"code":-32021,"message":"the server wants sampling/createMessage of the client, which has not declared that it can do that"}}`, nil},
		"unknown":   {[]string{wants(`"inputRequests":{"q":{"method":"tools/call","params":{}}}`)}, nil, `"message":"the server wants to know something of the client that MCP does not know"}}`, nil},
		"no object": {[]string{wants(`"inputRequests":[1]`)}, nil, `"message":"the server wants to know something of the client, in a form that cannot be read"}}`, nil},
		"refused": {[]string{wants(ask)}, func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-1,"message":"no"}}` },
			`,"error":{"code":-32603,"message":"the server wanted to know something of the client, which answered with an error","data":{"code":-1,"message":"no"}}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := -1
			c, bodies := modernFar(t, func(method, _ string) string {
				if method != "tools/call" {
					return ""
				}
				n = min(n+1, len(tt.rounds)-1)
				return tt.rounds[n]
			})
			greeted(t, c)
			c.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}`)
			got := c.hear()
			for strings.Contains(got, `"method":"elicitation/create"`) {
				m := messageOf(got)
				want(t, "params", string(m.Params), `{"message":"m"}`)
				c.say(tt.reply(string(m.ID)))
				got = c.hear()
			}
			if !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":7,`) || !strings.HasSuffix(got, tt.want) {
				t.Errorf("heard %s", got)
			}
			last := bodies()[len(bodies())-1]
			for _, s := range tt.sent {
				if !strings.Contains(last, s) {
					t.Errorf("sent %s, want %s in it", last, s)
				}
			}
			ids := map[string]bool{}
			for _, b := range bodies() {
				if id := string(messageOf(b).ID); ids[id] {
					t.Errorf("two requests have the id %s", id)
				} else {
					ids[id] = true
				}
			}
		})
	}
}

// A call that is cancelled while its client is asked something ends there, and
// the client need not ask its user on.
func TestCallIsCancelledWhileTheServerWantsToKnowMore(t *testing.T) {
	t.Parallel()
	c, bodies := modernFar(t, func(method, _ string) string {
		if method == "tools/call" {
			return `"result":{"resultType":"input_required","inputRequests":{"q":{"method":"elicitation/create","params":{}}}}`
		}
		return ""
	})
	greeted(t, c)
	c.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}`)
	q := messageOf(c.hear())
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7.0}}`)
	c.hears(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + string(q.ID) + `}}`)
	c.say(`{"jsonrpc":"2.0","id":`+string(q.ID)+`,"result":{}}`, `{"jsonrpc":"2.0","id":8,"method":"ping"}`)
	c.hears(`{"jsonrpc":"2.0","id":8,"result":{}}`)
	rest, err := c.end()
	if len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	want(t, "requests", len(bodies()), 2)
}

// A client that answers one of two questions with an error has the other withdrawn.
func TestQuestionsAreWithdrawnTogether(t *testing.T) {
	t.Parallel()
	c, _ := modernFar(t, func(method, _ string) string {
		if method == "tools/call" {
			return `"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{}},"b":{"method":"elicitation/create","params":{}}}}`
		}
		return ""
	})
	greeted(t, c)
	c.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}`)
	a, b := messageOf(c.hear()), messageOf(c.hear())
	c.say(`{"jsonrpc":"2.0","id":` + string(a.ID) + `,"error":{"code":-1,"message":"no"}}`)
	c.hears(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + string(b.ID) + `}}`)
	if got := c.hear(); !strings.Contains(got, `"id":7,"error":{"code":-32603`) {
		t.Error(got)
	}
}

// A stream of changes that breaks is opened again, and the client told to look.
func TestChangesAreListenedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		streams := make(chan string, 10)
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			if refusesLegacy(w, r, "") {
				return
			}
			var m struct {
				ID     json.RawMessage
				Method string
				Params struct{ Notifications json.RawMessage }
			}
			_ = json.NewDecoder(r.Body).Decode(&m)
			if m.Method != "subscriptions/listen" {
				w.Header().Set("Content-Type", typeJSON)
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true}}}}`, m.ID)
				return
			}
			streams <- string(m.Params.Notifications)
			ack := func(what string) {
				say(w, `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":`+what+`,"_meta":{}}}`+"\n\n")
			}
			switch n := string(m.Params.Notifications); {
			case strings.Contains(n, "x:no"):
				w.WriteHeader(http.StatusBadRequest)
			case strings.Contains(n, "x:less"):
				ack(`{"toolsListChanged":true}`)
				<-r.Context().Done()
			case strings.Contains(n, "x:cut"):
				ack(n)
			default:
				ack(n)
				<-r.Context().Done()
			}
		})
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		c.say(hello)
		c.hears(`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true}},"serverInfo":{"name":"server","version":"unknown"}}}`)
		subscribe := func(id, uri string) string {
			return `{"jsonrpc":"2.0","id":` + id + `,"method":"resources/subscribe","params":{"uri":"` + uri + `"}}`
		}
		c.say(subscribe("9", "x:early")) // and nothing follows that it could wait for
		if got := c.hear(); !strings.Contains(got, `"id":9,"error":{"code":-32600`) {
			t.Error(got)
		}
		c.say(subscribe("10", "x:soon"))
		synctest.Wait()
		c.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		c.hears(`{"jsonrpc":"2.0","id":10,"result":{}}`)
		c.say(`{"jsonrpc":"2.0","id":11,"method":"resources/unsubscribe","params":{"uri":"x:soon"}}`)
		c.hears(`{"jsonrpc":"2.0","id":11,"result":{}}`)
		for n := range streams { // of which those before may tell more
			if n == `{"toolsListChanged":true}` {
				break
			}
		}
		c.say(subscribe("1", "x:less"))
		c.hears(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"the server does not take a subscription to this resource"}}`)
		c.say(subscribe("2", "x:no"))
		if got := c.hear(); !strings.Contains(got, `"id":2,"error":`) {
			t.Error(got)
		}
		c.say(subscribe("3", "x:yes"))
		c.hears(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		c.say(subscribe("4", "x:cut"))
		c.hears(`{"jsonrpc":"2.0","id":4,"result":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:cut"}}`,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:yes"}}`)
	})
}
