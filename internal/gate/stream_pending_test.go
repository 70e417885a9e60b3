package gate

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// TestWhatIsNotAnsweredWhenTheTokenEndsIsToldSo holds of each request of a message,
// unless its client can come back for the answer.
func TestWhatIsNotAnsweredWhenTheTokenEndsIsToldSo(t *testing.T) {
	t.Parallel()
	const one, both = `{"jsonrpc":"2.0","id":1,"method":"m"}`, `[{"jsonrpc":"2.0","id":1,"method":"m"},{"jsonrpc":"2.0","id":"a/b","method":"m"}]`
	for name, c := range map[string]struct{ method, asked, says, told string }{
		"nothing is said":         {"POST", one, "", "1"},
		"news":                    {"POST", one, "data: {\"method\":\"n\",\"params\":{\"error\":1}}\r\n\r\n", "1"},
		"a request of the server": {"POST", one, "data: {\"id\":1,\"method\":\"result\",\"params\":{\"result\":1}}\n\n", "1"},
		"another's answer":        {"POST", one, "data: {\"id\":\"1\",\"result\":{}}\n\n", "1"},
		"an answer":               {"POST", one, "data: {\"id\":1,\"result\":{}}\n\n", ""},
		"an error":                {"POST", one, "data: {\"id\":1,\ndata: \"error\":{}}\n\n", ""},
		"one of two":              {"POST", both, "data: {\"id\":\"a\\/b\",\"result\":{}}\n\n", "1"},
		"none of two":             {"POST", both, "", `1 "a/b"`},
		"two at once":             {"POST", both, "data:  [{\"id\":\"a/b\",\"result\":{}},{\"id\":1,\"result\":{}}]\n\n", ""},
		"what cannot be read":     {"POST", one, "data: {\"result\"\n\n", ""},
		"it may come back":        {"POST", one, "id: 7\ndata: \n\n", ""},
		"within an event":         {"POST", one, "data: {", ""},
		"a large event":           {"POST", one, "data: {\"id\":1,\"result\":\"" + strings.Repeat("x", mostFollowed) + "\"}\n\n", ""},
		"a stream held open":      {"GET", one, "", ""},
		"a notification":          {"POST", `{"jsonrpc":"2.0","method":"n"}`, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, err := parse([]byte(c.asked))
			if err != nil {
				t.Fatal(err)
			}
			src, up := io.Pipe()
			g := &Gate{draining: make(chan struct{}), o: Options{Log: slog.New(slog.DiscardHandler)}}
			x := &exchange{r: &http.Request{Method: c.method}, message: m, seen: &Request{}, route: &route{}, caller: &verify.Caller{Expires: time.Now()}}
			res := &http.Response{StatusCode: 200, Body: src, Header: http.Header{"Content-Type": {"text/event-stream"}}}
			g.keep(x, res)
			go func() { _, _ = io.WriteString(up, c.says) }()
			began := time.Now()
			all, err := io.ReadAll(res.Body)
			if err != nil || time.Since(began) != grace {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
			told := strings.Split(strings.ReplaceAll(string(all), comment, ""), "data: ")
			var ids []string
			for _, event := range told {
				if !strings.Contains(event, "ran out") {
					continue
				}
				m, err := parse([]byte(strings.TrimSuffix(event, "\n\n")))
				if err != nil || !strings.HasSuffix(event, "}\n\n") {
					t.Errorf("%s: %q, %v", name, event, err)
					continue
				}
				ids = append(ids, string(m.calls[0].ID))
			}
			if got := strings.Join(ids, " "); got != c.told || x.seen.Late != (c.told != "" || name == "within an event") {
				t.Errorf("%s: told %s, late %v, in %.200q", name, got, x.seen.Late, all)
			}
			res.Body.Close()
		})
	}
}
