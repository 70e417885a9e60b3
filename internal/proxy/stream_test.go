package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
)

// rig is a world with one upstream, all of it under one rule, and one client.
type rig struct {
	*world
	authority string
	url       string // of the upstream's root
	http      *http.Client
}

func newRig(t testing.TB, client, upstream string, h http.HandlerFunc) *rig {
	t.Helper()
	origins := newOrigins(t)
	authority := origins.startUpstream(t, "api.test", upstream, h)
	return rigTo(t, origins, authority, client)
}

func rigTo(t testing.TB, origins *authorityForTests, authority, client string) *rig {
	t.Helper()
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/"}})
	return &rig{world: w, authority: authority, url: "https://" + authority + "/", http: w.client(client)}
}

// request makes a request that ends with the test, or by the guard.
func (r *rig) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, body)
	fatal(r.t, err)
	return req
}

func (r *rig) do(req *http.Request) *http.Response {
	r.t.Helper()
	res, err := r.http.Do(req)
	fatal(r.t, err)
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

// upload makes a request whose body is what the test sends.
func (r *rig) upload(path string) (*http.Request, *io.PipeWriter) {
	r.t.Helper()
	body, send := io.Pipe()
	req := r.request("POST", path, body)
	context.AfterFunc(req.Context(), func() { send.CloseWithError(context.Cause(req.Context())) })
	return req, send
}

// turns lets two sides of a test take turns: each step is one send.
type turns chan struct{}

// wait reports whether the turn came before ctx ended.
func (c turns) wait(ctx context.Context) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// send passes the turn on.
func (c turns) send(ctx context.Context) {
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
	}
}

const steps = 4

// step is what is sent in one turn.
func step(i int) string { return fmt.Sprintf("data: %d\n", i) }

// fullDuplex allows an HTTP/1 handler to answer while it reads.
func fullDuplex(w http.ResponseWriter) { http.NewResponseController(w).EnableFullDuplex() }

func flush(w http.ResponseWriter) { http.NewResponseController(w).Flush() }

// downloads are the forms that a streamed answer takes. A form with a length
// is not known to be a stream, and must trickle all the same.
var downloads = []struct {
	name, contentType string
	length            int
}{
	{"event stream", "text/event-stream", 0},
	{"event stream with charset", "text/event-stream; charset=utf-8", 0},
	{"ndjson", "application/x-ndjson", 0},
	{"json", "application/json", 0},
	{"no type", "", 0},
	{"known length", "application/octet-stream", steps * len("data: 0\n")},
	{"known length event stream", "text/event-stream", steps * len("data: 0\n")},
}

// oneByOne is an upstream that sends its header at once and each step when
// its turn comes.
func oneByOne(next turns, contentType string, length int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		if length > 0 {
			w.Header().Set("Content-Length", strconv.Itoa(length))
		}
		flush(w)
		for i := range steps {
			if !next.wait(r.Context()) {
				return
			}
			io.WriteString(w, step(i))
			flush(w)
		}
	}
}

// readOneByOne reads what oneByOne sends, letting it send a step only after
// the header and all steps before it have arrived.
func readOneByOne(t *testing.T, ctx context.Context, next turns, body io.Reader) {
	t.Helper()
	lines := bufio.NewReader(body)
	for i := range steps {
		next.send(ctx)
		got, err := lines.ReadString('\n')
		if err != nil || got != step(i) {
			t.Fatalf("step %d: got %q, %v", i, got, err)
		}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Fatalf("behind the last step: got %q, %v", rest, err)
	}
}

func TestEachEventArrivesBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for _, form := range downloads {
			t.Run(form.name, func(t *testing.T) {
				next := make(turns)
				r := newRig(t, client, upstream, oneByOne(next, form.contentType, form.length))
				req := r.request("GET", "events", nil)
				res := r.do(req) // returns only if the header is not held back
				if got := res.Header.Get("Content-Type"); got != form.contentType {
					t.Errorf("Content-Type %q, want %q", got, form.contentType)
				}
				readOneByOne(t, req.Context(), next, res.Body)
			})
		}
	})
}

func TestEachUploadedChunkArrivesBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for name, length := range map[string]int64{"unknown length": -1, "known length": int64(steps * len(step(0)))} {
			t.Run(name, func(t *testing.T) {
				arrived := make(chan string)
				r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
					lines := bufio.NewReader(r.Body)
					for range steps {
						line, _ := lines.ReadString('\n')
						select {
						case arrived <- line:
						case <-r.Context().Done():
							return
						}
					}
				})
				req, send := r.upload("upload")
				req.ContentLength = length
				answered := make(chan error, 1)
				go func() {
					res, err := r.http.Do(req)
					if err == nil {
						res.Body.Close()
					}
					answered <- err
				}()
				for i := range steps {
					io.WriteString(send, step(i))
					if i == steps-1 {
						send.Close() // net/http's own client waits for it
					}
					select {
					case got := <-arrived:
						if got != step(i) {
							t.Fatalf("step %d: upstream got %q", i, got)
						}
					case <-req.Context().Done():
						t.Fatalf("step %d was held back", i)
					}
				}
				fatal(t, <-answered)
			})
		}
	})
}

func TestRequestAndResponseStreamAtOnce(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		r := newRig(t, client, upstream, echo)
		req, send := r.upload("echo")
		res := r.do(req) // before any of the body has been sent
		for i := range steps {
			io.WriteString(send, step(i))
			got := make([]byte, len(step(i)))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != step(i) {
				t.Fatalf("step %d: echo %q, %v", i, got, err)
			}
		}
		send.Close()
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Fatalf("behind the last step: got %q, %v", rest, err)
		}
	})
}

// echo sends each piece of the request's body back as it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	fullDuplex(w)
	flush(w)
	buf := make([]byte, 1<<10)
	for {
		n, err := r.Body.Read(buf)
		w.Write(buf[:n])
		flush(w)
		if err != nil {
			return
		}
	}
}

func TestTunnelStreamsBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			origins := newOrigins(t)
			authority := origins.startUpstream(t, "other.test", proto, http.HandlerFunc(echo))
			w := newWorld(t, origins, worldOptions{})
			r := &rig{world: w, authority: authority, url: "https://" + authority + "/", http: w.client(proto)}
			req, send := r.upload("")
			res := r.do(req)
			if got := res.TLS.PeerCertificates[0].Issuer.CommonName; got != "origins" {
				t.Errorf("not tunnelled: certificate of %s", got)
			}
			for i := range steps {
				io.WriteString(send, step(i))
				got := make([]byte, len(step(i)))
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != step(i) {
					t.Fatalf("step %d: echo %q, %v", i, got, err)
				}
			}
			send.Close()
		})
	}
}
