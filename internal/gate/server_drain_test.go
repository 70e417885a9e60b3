package gate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"
)

// caller is a client that sends what it likes over one connection to a gate in a
// bubble.
type caller struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func (f *front) visit(t testing.TB) *caller {
	t.Helper()
	c, err := f.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

// get sends a request and returns the answer, whose body is not read.
func (c *caller) get(path string) *http.Response {
	c.t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: mcp.example\r\nAuthorization: Bearer "+canary+"\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// served gets an answer to its end, and reports whether the client is to leave.
func (c *caller) served(path string) (last bool) {
	c.t.Helper()
	res := c.get(path)
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "done" {
		c.t.Errorf("%s, %q, %v", res.Status, body, err)
	}
	return res.Close
}

// closed waits until the gate has closed the connection.
func (c *caller) closed() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Errorf("%q, %v", b, err)
	}
}

// leaving is a gate whose upstream answers /slow in two pieces, the second when more
// is closed.
func leaving(t *testing.T) (f *front, more chan struct{}) {
	more = make(chan struct{})
	return inside(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			_, _ = io.WriteString(w, "do")
			_ = http.NewResponseController(w).Flush()
			<-more
			_, _ = io.WriteString(w, "ne")
			return
		}
		_, _ = io.WriteString(w, "done")
	}), more
}

// down begins a shutdown, and returns what waits for its end and how long it took.
func (f *front) down(t testing.TB) (end func() time.Duration) {
	began, ended := time.Now(), make(chan error, 1)
	go func() { ended <- f.Shutdown(t.Context()) }()
	synctest.Wait()
	return func() time.Duration {
		t.Helper()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
}

func TestRetiredGateServesAndHasClientsConnectAnew(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"1.1", "h2c"} {
		synctest.Test(t, func(t *testing.T) {
			f, _ := leaving(t)
			transport := f.client.Transport.(*http.Transport)
			transport.Protocols.SetHTTP1(protocol == "1.1")
			transport.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
			reused := 0
			trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
				if got.Reused {
					reused++
				}
			}}
			get := func() {
				t.Helper()
				req := f.request(t, http.MethodGet, "/", "")
				if res, body := f.do(t, req.WithContext(httptrace.WithClientTrace(t.Context(), trace))); body != "done" || len(res.Header["Connection"]) > 0 && protocol == "h2c" {
					t.Errorf("%s %q %v", protocol, body, res.Header)
				}
				synctest.Wait()
			}
			get()
			if get(); reused != 1 {
				t.Fatalf("%s: %d were sent over a connection that was there", protocol, reused)
			}
			f.Retire()
			get() // over the one that is there
			get()
			if get(); reused != 2 {
				t.Errorf("%s: %d were sent over a connection that was there", protocol, reused)
			}
			if res, _ := f.do(t, f.request(t, http.MethodGet, "/readyz", "")); res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: it is ready: %s", protocol, res.Status)
			}
		})
	}
}

// TestRequestThatComesDuringAShutdownIsServed holds of each connection that a client
// may take for usable.
func TestRequestThatComesDuringAShutdownIsServed(t *testing.T) {
	t.Parallel()
	late := time.Millisecond // before its time is over
	for name, test := range map[string]func(*front, chan struct{}, *caller) time.Duration{
		"over one that has said nothing": func(f *front, _ chan struct{}, c *caller) time.Duration {
			synctest.Wait()
			end := f.down(c.t)
			time.Sleep(firstWord - late)
			if !c.served("/") {
				c.t.Error("the client may come again")
			}
			c.closed()
			return end()
		},
		"behind an answer": func(f *front, _ chan struct{}, c *caller) time.Duration {
			if c.served("/") {
				c.t.Error("the client is to leave")
			}
			end := f.down(c.t)
			time.Sleep(lastWord - late)
			if !c.served("/") {
				c.t.Error("the client may come again")
			}
			c.closed()
			return end()
		},
		"behind an answer that had begun": func(f *front, more chan struct{}, c *caller) time.Duration {
			res := c.get("/slow")
			end := f.down(c.t)
			time.Sleep(time.Minute)
			close(more)
			if b, err := io.ReadAll(res.Body); string(b) != "done" || err != nil || res.Close {
				c.t.Errorf("%q, %v, %v", b, err, res.Close)
			}
			time.Sleep(lastWord - late)
			if !c.served("/") {
				c.t.Error("the client may come again")
			}
			c.closed()
			return end() - time.Minute
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, more := leaving(t)
				if took := test(f, more, f.visit(t)); took > firstWord+2*lastWord {
					t.Errorf("the end took %s", took)
				}
			})
		})
	}
}

// TestConnectionOverHTTP2IsNotClosedForItsRest holds while another one is waited
// for: its client is told before.
func TestConnectionOverHTTP2IsNotClosedForItsRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, more := leaving(t)
		slow := f.visit(t).get("/slow")
		transport := f.client.Transport.(*http.Transport)
		transport.Protocols.SetHTTP1(false)
		transport.Protocols.SetUnencryptedHTTP2(true)
		if res, _ := f.do(t, f.request(t, http.MethodGet, "/", "")); res.ProtoMajor != 2 {
			t.Fatal(res.Proto)
		}
		end := f.down(t)
		time.Sleep(2 * firstWord)
		if _, err := transport.DialContext(t.Context(), "", ""); err == nil {
			t.Error("it goes on accepting")
		}
		if _, body := f.do(t, f.request(t, http.MethodGet, "/", "")); body != "done" {
			t.Errorf("%q", body)
		}
		close(more)
		_, _ = io.Copy(io.Discard, slow.Body)
		end()
	})
}

func TestShutdownClosesWhatRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := leaving(t)
		rests, silent := f.visit(t), f.visit(t)
		rests.served("/")
		time.Sleep(firstWord)
		end := f.down(t)
		rests.closed()
		silent.closed()
		if took := end(); took > 2*lookForRest {
			t.Errorf("it took %s", took)
		}
	})
}

// TestShutdownCutsNothingWhereOnlyConnectionsAreLeft holds of those over HTTP/2, which
// stay open for a second after they have been told to leave.
func TestShutdownCutsNothingWhereOnlyConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := leaving(t)
		c := f.visit(t)
		if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, c.in)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), lastWord)
		defer cancel()
		began := time.Now()
		if err := f.Shutdown(ctx); err != nil || time.Since(began) != lastWord {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestShutdownThatHasNoTimeWaitsForNoRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := leaving(t)
		c := f.visit(t)
		c.served("/")
		ctx, cancel := context.WithTimeout(t.Context(), lastWord/2)
		defer cancel()
		began := time.Now()
		if err := f.Shutdown(ctx); err != nil || time.Since(began) != lastWord/2 { // nothing was under way
			t.Errorf("%v after %s", err, time.Since(began))
		}
		c.closed()
	})
}

// failingListener is one that breaks.
type failingListener struct {
	*pipes
	err error
}

func (l failingListener) Accept() (net.Conn, error) { return nil, l.err }

func TestServeTellsAnEndFromAFailure(t *testing.T) {
	t.Parallel()
	f := open(t, Options{}, "mcp.example", nobody)
	broken := errors.New("broken")
	if err := f.Serve(failingListener{newPipes(), broken}); err != broken {
		t.Errorf("of one that broke: %v", err)
	}
	ts := httptest.NewUnstartedServer(nil)
	served := make(chan error, 1)
	go func() { served <- f.Serve(ts.Listener) }()
	f.url = "http://" + ts.Listener.Addr().String()
	f.do(t, f.request(t, http.MethodGet, "/healthz", ""))
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("at Shutdown: %v", err)
	}
	l := newPipes()
	f.server.doors.add(l)
	<-l.closed // whether or not http.Server knows yet
	l = newPipes()
	if err := f.Serve(l); err != http.ErrServerClosed {
		t.Errorf("after Shutdown: %v", err)
	}
	<-l.closed
}
