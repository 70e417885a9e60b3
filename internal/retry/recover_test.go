package retry_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/retry"
)

func TestStalePooledConnectionIsRecoveredFrom(t *testing.T) {
	t.Parallel()
	var dropped atomic.Bool
	srv := serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		if dropped.CompareAndSwap(false, true) {
			// As a keep-alive time-out looks that strikes while a request is sent.
			io.Copy(io.Discard, r.Body)
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
			return
		}
		only("token-1")(w, r)
	})
	r := newRoute(t, srv)
	r.warm()
	data, sum := content(200 << 10)
	req, use := r.request("POST", bytes.NewReader(data))
	req.Header.Set("Idempotency-Key", "1") // without it net/http must not repeat a POST
	status, answer := r.send(req)
	want(t, "dropped once", dropped.Load(), true)
	want(t, "status", status, 200)
	want(t, "hash of the body that arrived", answer, sum)
	want(t, "outcome", use.Retry, "")
	r.released()
}

func TestStreamThatHTTP2RefusesIsSentAgainWhileTheClientIsSilent(t *testing.T) {
	t.Parallel()
	up := &refuser{t: t, second: make(chan struct{})}
	r := newRoute(t, up.start())
	body, client := io.Pipe()
	go func() {
		io.WriteString(client, "begun,")
		<-up.second // sent although a read of the client's body is under way
		io.WriteString(client, "finished")
		client.Close()
	}()
	status, _, _ := r.do("POST", body)
	want(t, "status", status, 200)
	want(t, "body that arrived", up.got.String(), "begun,finished")
	r.released()
}

func TestBodyThatIsNotHeldIsNotSentAgain(t *testing.T) {
	t.Parallel()
	up := &refuser{t: t, second: make(chan struct{})}
	r := newRoute(t, up.start(), func(_ *route, o *retry.Options, _ *inject.Options) { o.Memory = nil })
	body, client := io.Pipe()
	go io.WriteString(client, "begun,")
	req, _ := r.request("POST", body)
	resp, err := r.chain.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("a part of the body was answered")
	}
	want(t, "body that arrived", up.got.String(), "")
}

func TestSecondAttemptGoesOverTheSameConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	from := map[string]bool{}
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		io.Copy(io.Discard, r.Body)
		if bearer(r) != "token-2" {
			w.WriteHeader(401)
			w.Write(make([]byte, 20<<10))
		}
	}))
	data, _ := content(100 << 10)
	status, _, _ := r.do("POST", bytes.NewReader(data))
	want(t, "status", status, 200)
	want(t, "connections", len(from), 1)
}

func TestRefusalWhoseBodyDoesNotEndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]func(http.ResponseWriter, *http.Request){
		"and is silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"and goes on": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 4<<10))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, proto string) {
				ended := make(chan struct{})
				r := newRoute(t, serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
					if bearer(r) == "token-2" {
						return
					}
					defer close(ended)
					deny(w)
					http.NewResponseController(w).Flush()
					more(w, r)
				}))
				status, _, use := r.do("POST", strings.NewReader("body"))
				want(t, "status", status, 200)
				want(t, "outcome", use.Retry, "healed")
				select {
				case <-ended:
				case <-time.After(10 * time.Second):
					t.Error("the refused attempt is still under way")
				}
			})
		})
	}
}

// refuser speaks HTTP/2 and refuses the first stream (REFUSED_STREAM, RFC 9113
// section 8.7) once some of its body is there; the second it answers.
type refuser struct {
	t      *testing.T
	second chan struct{}
	got    bytes.Buffer
}

func (u *refuser) start() *httptest.Server {
	srv := httptest.NewUnstartedServer(nil)
	srv.EnableHTTP2 = true
	srv.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) { u.serve(conn) },
	}
	srv.StartTLS()
	u.t.Cleanup(srv.Close)
	return srv
}

func (u *refuser) serve(conn net.Conn) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		u.t.Error(err)
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			framer.WritePing(true, f.Data)
		case *http2.HeadersFrame:
			if f.StreamID > 1 {
				close(u.second)
			}
		case *http2.DataFrame:
			u.data(framer, f)
		}
	}
}

func (u *refuser) data(framer *http2.Framer, f *http2.DataFrame) {
	if f.StreamID == 1 {
		framer.WriteRSTStream(1, http2.ErrCodeRefusedStream)
		return
	}
	u.got.Write(f.Data())
	if f.StreamEnded() {
		var block bytes.Buffer
		hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	}
}
