package stdio

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// textRefusal stands before a legacy server as the TypeScript SDK's of the
// generation before: it knows the newer versions by the field alone.
func textRefusal(w http.ResponseWriter, r *http.Request, _ string) bool {
	if r.Header.Get("Mcp-Protocol-Version") < "2026" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Unsupported protocol version"},"id":null}`)
	return true
}

func modernAsk(id, method, params string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":{` + params + `"_meta":` + modernMeta + `}}`
}

func TestModernClientIsLentASessionAtALegacyServer(t *testing.T) {
	t.Parallel()
	for name, front := range map[string]func(http.ResponseWriter, *http.Request, string) bool{"Go SDK": nil, "TypeScript SDK 1": textRefusal} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, legacyOnly, front)
			c := run(t, New(Options{URL: parsed(t, h.url), Route: h.route, Log: testLog(t)}))
			c.say(modernCall(`1`, `"greet"`, `{"who":"Bob"}`))
			if got := c.hear(); !strings.Contains(got, `hello Bob`) || !strings.Contains(got, `"id":1`) {
				t.Error(got)
			}
			c.say(modernAsk(`2`, "subscriptions/listen", `"notifications":{"toolsListChanged":true},`))
			if got := c.hear(); !strings.Contains(got, `"code":-32601`) || !strings.Contains(got, "2025-11-25") {
				t.Error(got)
			}
			// What the server asks, the client cannot be asked.
			c.say(modernCall(`3`, `"form"`, `{}`))
			if got := c.hear(); !strings.Contains(got, `"id":3`) || strings.Contains(got, "elicitation/create\",\"params") {
				t.Error(got)
			}
			c.say(modernCall(`4`, `"wait"`, `{}`))
			<-h.begun
			c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4}}`)
			want(t, "cancelled", <-h.ended, "wait")
			if _, err := c.end(); err != nil {
				t.Error(err)
			}
			if last := h.said()[len(h.said())-3]; strings.Contains(last, "modelcontextprotocol") {
				t.Errorf("a legacy server was sent %s", last)
			}
			initializes := 0
			for _, b := range h.said() {
				if strings.Contains(b, `"initialize"`) {
					initializes++
				}
			}
			want(t, "sessions", initializes, 1)
		})
	}
}

func TestClientThatAsksALegacyServerWhoItIsIsToldToInitialize(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"400 of the TypeScript SDK": func(w http.ResponseWriter, r *http.Request) { textRefusal(w, r, "") },
		"400":                       status(http.StatusBadRequest),
		"404":                       status(http.StatusNotFound),
		"405":                       status(http.StatusMethodNotAllowed),
	} {
		f := newFar(t, "HTTP/2.0", answer)
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		c.say(modernAsk(`"d"`, "server/discover", ``))
		got := c.hear()
		if !strings.Contains(got, `"id":"d","error":{"code":-32601,`) || !strings.Contains(got, `"requested":"2026-07-28"`) || !strings.Contains(got, `"supported":["2025-11-25"`) {
			t.Errorf("%s: %s", name, got)
		}
		if urls := f.route.urls(); len(urls) != 1 || !strings.HasPrefix(urls[0], "POST ") {
			t.Errorf("%s: %v", name, urls)
		}
	}
}

// Whatever else refuses a modern request says nothing of the server's era.
func TestRefusalThatIsNoSignOfALegacyServerIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"401":             {status(http.StatusUnauthorized), "401"},
		"403":             {status(http.StatusForbidden), "403"},
		"500":             {status(http.StatusInternalServerError), "500"},
		"429":             {status(http.StatusTooManyRequests), "429"},
		"missing method":  {answers(404, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}`), "-32601"},
		"another version": {answers(400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m","data":{"supported":["2027-01-01"]}}}`), "-32022"},
		"no versions":     {answers(400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m"}}`), "-32022"},
		"capability":      {answers(400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"m"}}`), "-32021"},
		"params":          {answers(400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m"}}`), "-32602"},
	} {
		f := newFar(t, "HTTP/2.0", tt.answer)
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		c.say(modernAsk(`1`, "prompts/list", ``))
		if got := c.hear(); !strings.Contains(got, `"id":1`) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
		want(t, name+": requests", len(f.route.urls()), 1)
	}
}

// A server that has shown that it is modern, or has answered the call itself, is
// not sent it again as a legacy one.
func TestModernCallIsNotSentTwice(t *testing.T) {
	t.Parallel()
	const mine, nobodys = `{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"it broke half way"}}`, `<html>400 Request Header Or Cookie Too Large</html>`
	for name, tt := range map[string]struct {
		first, refusal string
		told           string
		asked          int
	}{
		"refused by itself":              {"", mine, "it broke half way", 1},
		"refused by a modern server":     {"server/discover", mine, "it broke half way", 2},
		"refused on the way to a server": {"tools/list", nobodys, "400", 2},
		"refused on the way at once":     {"", nobodys, "400", 2}, // and the server asked who it is
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				m := messageOf(string(body))
				if m.Method == "tools/call" {
					answers(http.StatusBadRequest, typeJSON, tt.refusal)(w, r)
					return
				}
				answers(http.StatusOK, typeJSON, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"supportedVersions":["2026-07-28","2025-11-25"],"protocolVersion":"2025-11-25","capabilities":{}}}`)(w, r)
			})
			c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
			if tt.first != "" {
				c.say(modernAsk(`1`, tt.first, ``))
				c.hear()
			}
			c.say(modernCall(`2`, `"greet"`, `{}`))
			if got := c.hear(); !strings.Contains(got, `"id":2,"error"`) || !strings.Contains(got, tt.told) {
				t.Error(got)
			}
			want(t, "requests", len(f.route.urls()), tt.asked)
			c.say(modernAsk(`3`, "server/discover", ``))
			if got := c.hear(); !strings.Contains(got, `"supportedVersions":["2026-07-28"`) {
				t.Errorf("the server is taken for a legacy one: %s", got)
			}
		})
	}
}
