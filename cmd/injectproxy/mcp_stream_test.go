package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newLive starts a TLS server that, unlike an [origin], does with each request
// what h does, and returns its root. It speaks "h1", or "h2" too.
func newLive(t testing.TB, kind string, h http.HandlerFunc) (root string) {
	t.Helper()
	const host = "live.example.test"
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.EnableHTTP2 = kind == "h2"
	s.TLS = &tls.Config{Certificates: []tls.Certificate{origins().issue(t, host)}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return "https://" + net.JoinHostPort(host, port(s.Listener.Addr()))
}

// Neither a message nor the stream that answers it is held back, which the
// order of events shows: each side goes on only once the other has what came
// before.
func TestMCPStreamsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		arrived, seen := make(chan string), make(chan string)
		root := newLive(t, upstream, func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewReader(r.Body)
			for range 3 {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Error(err)
					return
				}
				arrived <- line
			}
			io.Copy(io.Discard, lines)
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				http.NewResponseController(w).Flush()
				<-seen
			}
		})
		b := newTestbed(t, settings{tables: fileAudiences + mcpRule(root+"/"), files: tokenFiles})
		body, feed := io.Pipe()
		go func() {
			for _, line := range []string{`{"jsonrpc":"2.0",` + "\n", `"id":1,` + "\n", `"method":"m"}` + "\n"} {
				io.WriteString(feed, line)
				if got := <-arrived; got != line {
					t.Errorf("%q arrived, want %q", got, line)
				}
			}
			feed.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), "POST", root+"/mcp", body)
		must(t, err)
		req.Header.Set("Accept", streamable)
		res, err := b.client(client).Do(req)
		must(t, err)
		defer res.Body.Close()
		events := bufio.NewReader(res.Body)
		for i := range 3 {
			if event, err := events.ReadString('\n'); err != nil || event != fmt.Sprintf("data: %d\n", i) {
				t.Errorf("%q, %v", event, err)
			}
			events.ReadString('\n')
			seen <- ""
		}
	})
}

// A server that refuses before it has read the message leaves it to us.
func TestRefusalOfAMessageThatWasNotReadIsExplained(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		root := newLive(t, upstream, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex() // or net/http would read first
			challenge(w)
			http.NewResponseController(w).Flush()
			io.Copy(io.Discard, r.Body) // or the connection's reset might overtake the answer
		})
		b := newTestbed(t, settings{tables: fileAudiences + mcpRule(root+"/"), files: tokenFiles})
		c := b.client(client)
		for _, size := range []int{10, 100 << 10, 900 << 10} {
			message := callTool("7") + strings.Repeat(" ", size)
			for range 5 {
				post(t, c, root+"/mcp", message).explained(t, "7", http.StatusBadGateway)
				postBody(t, c, root+"/mcp", undeclared{strings.NewReader(message)}).explained(t, "7", http.StatusBadGateway)
			}
		}
	})
}
