package stdio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A modern client sees one stream, whatever happens to the server's.
func TestSubscriptionOutlivesItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		more := make(chan string)
		streams := 0
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			var m struct{ ID json.RawMessage }
			_ = json.NewDecoder(r.Body).Decode(&m)
			streams++
			switch streams {
			case 2:
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			case 4:
				w.WriteHeader(http.StatusForbidden)
				return
			}
			say(w, `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x:"]},"_meta":{}}}`+"\n\n")
			select {
			case text := <-more:
				say(w, text)
			case <-r.Context().Done():
			}
		})
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		c.say(modernAsk(`"l"`, "subscriptions/listen", `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x:"]},`))
		if got := c.hear(); !strings.Contains(got, "acknowledged") {
			t.Error(got)
		}
		more <- `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n" // and the stream ends
		meta := `"_meta":{"io.modelcontextprotocol/subscriptionId":"l"}}}`
		c.hears(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+meta,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:",`+meta)
		more <- ""
		if got := c.hear(); !strings.Contains(got, `"id":"l","error"`) || !strings.Contains(got, "403") {
			t.Error(got)
		}
	})
}

func TestSubscriptionEndsWithItsResponseOrItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hungUp := make(chan struct{}, 1)
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			var m struct{ ID json.RawMessage }
			_ = json.NewDecoder(r.Body).Decode(&m)
			say(w, `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true}}}`+"\n\n")
			if string(m.ID) == "1" {
				say(w, fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n", m.ID))
				return
			}
			<-r.Context().Done()
			hungUp <- struct{}{}
		})
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		c.say(modernAsk(`1`, "subscriptions/listen", `"notifications":{"toolsListChanged":true},`))
		c.hear()
		c.hears(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		time.Sleep(time.Minute) // of the bubble
		want(t, "requests", len(f.route.urls()), 1)
		c.say(modernAsk(`2`, "subscriptions/listen", `"notifications":{"toolsListChanged":true},`))
		c.hear()
		c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
		<-hungUp
		if rest, err := c.end(); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		want(t, "requests", len(f.route.urls()), 2)
	})
}
