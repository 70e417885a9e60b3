package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inMemory serves a gate over pipes, in a bubble. Its upstream is answer, which
// has the request's header behind it.
func inMemory(t *testing.T, answer func(c net.Conn, from *bufio.Reader)) (dial func() net.Conn, f *front) {
	t.Helper()
	l := &pipes{make(chan net.Conn), make(chan struct{})}
	f = open(t, Options{PublicURL: urls(t, "https://mcp.example")[0], Routes: routesOf("1.1")}, "mcp.example", nobody)
	for _, r := range f.routes {
		r.upstreams[0].transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				from := bufio.NewReader(theirs)
				for line := "-"; line != "\r\n"; {
					var err error
					if line, err = from.ReadString('\n'); err != nil {
						return
					}
				}
				answer(theirs, from)
			}()
			return ours, nil
		}
	}
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		if err := f.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		<-served
	})
	return func() net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		l.conns <- theirs
		return ours
	}, f
}

const chunkedPut = "PUT /plain HTTP/1.1\r\nHost: mcp.example\r\nAuthorization: Bearer " + canary + "\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestBothSidesMayTalkAtOnce holds that an answer begins while the client still
// sends, in HTTP/1 too, and that its connection is used for nothing else then.
func TestBothSidesMayTalkAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial, f := inMemory(t, func(c net.Conn, from *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			in := bufio.NewReader(httpChunks(from))
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					break
				}
				fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line)
			}
			_, _ = io.WriteString(c, "0\r\n\r\n")
		})
		c, began := dial(), time.Now()
		_, _ = io.WriteString(c, chunkedPut)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 || !res.Close {
			t.Fatalf("%v, %v", res, err)
		}
		back := bufio.NewReader(res.Body)
		for _, line := range []string{"one\n", "two\n"} {
			fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line)
			if got, err := back.ReadString('\n'); err != nil || got != line {
				t.Errorf("%q came back as %q, %v", line, got, err)
			}
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
		if rest, err := io.ReadAll(back); err != nil || len(rest) > 0 || time.Since(began) != 0 {
			t.Errorf("the end is %q, %v, after %s", rest, err, time.Since(began))
		}
		if done := <-f.done; done.Bytes != 8 {
			t.Errorf("told of %+v", done)
		}
	})
}

// httpChunks is what a chunked body of from says.
func httpChunks(from *bufio.Reader) io.Reader {
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), from)))
	if err != nil {
		return strings.NewReader("")
	}
	return r.Body
}

// TestABodyThatNobodyWantsHoldsNothing holds of a client that sends part of a
// body, and then nothing, while the answer has long been given.
func TestABodyThatNobodyWantsHoldsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, head, want string
		asked            bool          // the upstream has been sent what came, and more is waited for
		held             time.Duration // so that closing does not take the answer with it
	}{
		{"to an upstream that reads", chunkedPut, "HTTP/1.1 200 ", true, 0},
		{"to one that does not", chunkedPut, "HTTP/1.1 200 ", false, linger},
		{"to nobody", strings.Replace(chunkedPut, "Bearer", "Basic", 1), "HTTP/1.1 401 ", false, linger},
	} {
		synctest.Test(t, func(t *testing.T) {
			reads, over := c.asked, make(chan struct{})
			dial, f := inMemory(t, func(c net.Conn, from *bufio.Reader) {
				if some := make([]byte, len("4\r\nsome\r\n")); reads {
					_, _ = io.ReadFull(from, some)
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
				<-over
			})
			conn, began := dial(), time.Now()
			go func() { _, _ = io.WriteString(conn, c.head+"4\r\nsome\r\n") }()
			all, err := io.ReadAll(conn)
			close(over)
			if !strings.HasPrefix(string(all), c.want) || err != nil {
				t.Errorf("%s: %q, %v", c.name, all, err)
			}
			if took := time.Since(began); took.Truncate(time.Second) != c.held {
				t.Errorf("%s: the connection is held for %s", c.name, took)
			}
			<-f.done
		})
	}
}

// TestAnIdleConnectionIsClosed holds between two requests.
func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial, _ := inMemory(t, func(c net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
		})
		c := dial()
		_, _ = io.WriteString(c, "GET /plain HTTP/1.1\r\nHost: mcp.example\r\nAuthorization: Bearer "+canary+"\r\n\r\n")
		from := bufio.NewReader(c)
		res, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(res.Body)
		began := time.Now()
		if _, err := from.ReadByte(); err == nil || time.Since(began) != idleTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestABodyIsReadByNobodyOnceItIsOver holds of one attempt to send it, and of all.
func TestABodyIsReadByNobodyOnceItIsOver(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("PUT", "/", strings.NewReader("one two"))
	b := newBody(&response{ResponseWriter: httptest.NewRecorder()}, r)
	first := b.lend(7)
	p := make([]byte, 3)
	if n, err := first.Read(p); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	first.Close()
	if n, err := first.Read(p); n != 0 || err == nil {
		t.Errorf("an attempt that is over reads %q", p[:n])
	}
	second := b.lend(100) // does not begin anew
	if rest, err := io.ReadAll(second); string(rest) != " two" || err != nil {
		t.Errorf("another reads %q, %v", rest, err)
	}
	if n, err := second.Read(p); n != 0 || err != io.EOF {
		t.Errorf("behind the end there are %d bytes, %v", n, err)
	}

	r = httptest.NewRequest("PUT", "/", strings.NewReader("one two"))
	b = newBody(&response{ResponseWriter: httptest.NewRecorder()}, r)
	again := b.lend(3)
	b.lend(100)
	if got, err := io.ReadAll(again); len(got) > 3 || !errors.As(err, new(*http.MaxBytesError)) {
		t.Errorf("beyond its limit it reads %q, %v", got, err)
	}
	b.settle()
	if n, err := b.lend(3).Read(p); n != 0 || err != http.ErrBodyReadAfterClose {
		t.Errorf("once the request is over it reads %q, %v", p[:n], err)
	}
}
