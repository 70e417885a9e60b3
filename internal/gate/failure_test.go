package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// aborts reports whether f panics to break an answer off.
func aborts(t *testing.T, f func()) (aborted bool) {
	t.Helper()
	defer func() {
		switch failure := recover(); failure {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(failure)
		}
	}()
	f()
	return false
}

// TestACallThatWasNotSentIsNotLate holds that an answer says of a server that
// takes no connection that nothing was sent, and that a client which leaves before
// there is one has not left a call behind.
func TestACallThatWasNotSentIsNotLate(t *testing.T) {
	t.Parallel()
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := open(t, Options{Routes: []Route{{Path: "/", Allow: true, Timeout: time.Minute}}}, "mcp.example", nobody)
			f.routes[0].upstreams[0].transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(time.Hour)
				return nil, &errUnreached{io.EOF}
			}
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if leaves {
				time.AfterFunc(time.Second, leave)
			}
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "http://mcp.example/", nil)
			r.Header.Set("Authorization", "Bearer "+canary)
			aborted := aborts(t, func() { f.ServeHTTP(w, r) })
			done := <-f.done
			if aborted != leaves || done.Late == leaves || !leaves && (w.Code != 504 || !strings.Contains(w.Body.String(), "nothing was sent")) {
				t.Errorf("%d, %s; told of %+v", w.Code, w.Body, done)
			}
			time.Sleep(time.Hour) // net/http ends it
		})
	}
}

// TestTheLogSaysWhichUpstreamFailsAndWhy holds that it does so without being told
// to, and not once for each request.
func TestTheLogSaysWhichUpstreamFailsAndWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		breaks := false
		o := Options{Routes: []Route{{Path: "/", Allow: true}}, Log: slog.New(slog.NewTextHandler(&lines, nil))}
		f := inside(t, o, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if breaks {
				panic(http.ErrAbortHandler)
			}
		})
		u := f.routes[0].upstreams[0]
		u.transport.DisableKeepAlives = true
		works := u.transport.DialContext
		fails := func(context.Context, string, string) (net.Conn, error) {
			return nil, &errUnreached{&net.DNSError{Err: "no such host", Name: "mcp.internal", IsNotFound: true}}
		}
		says := func(status int, want ...string) {
			t.Helper()
			lines.Reset()
			res, body := f.do(t, f.request(t, "PUT", "/", "x"))
			said := lines.String()
			if res.StatusCode != status || len(want) == 0 && said != "" || strings.Contains(body, "mcp.internal") {
				t.Errorf("%s, %s; said %q", res.Status, body, said)
			}
			for _, w := range want {
				if strings.Count(said, "\n") != 1 || !strings.Contains(said, w) {
					t.Errorf("said %q, want %s", said, w)
				}
			}
			if done := <-f.done; done.Upstream != u.url.Host {
				t.Errorf("told of %+v", done)
			}
		}
		says(200)
		u.transport.DialContext = fails
		says(502, "level=WARN", "route=/ ", "upstream="+u.url.Host, "no such host")
		says(502)
		time.Sleep(troublePause)
		says(502, "level=WARN")
		u.transport.DialContext = works
		says(200, "level=INFO", "again", "upstream="+u.url.Host)
		u.transport.DialContext = fails
		says(502)
		u.transport.DialContext = works
		says(200) // of what was not said it is not said that it is over
		time.Sleep(troublePause)
		breaks = true
		says(502, "level=WARN", "broke off", "EOF")
		says(502)
	})
}

func TestAnAnswerThatIsWithheldSaysWhy(t *testing.T) {
	t.Parallel()
	f := open(t, Options{}, "mcp.example", nobody)
	for _, c := range []struct {
		err    error
		status int
		detail string
		denied string
	}{
		{errors.New(canary), 502, "", ""},
		{fmt.Errorf("read: %w", hidden("a list that cannot be read")), 502, "a list that cannot be read", deniedAnswer},
		{&unfit{sessionsUnknown}, 503, "", deniedUnknown},
	} {
		ctx, leave := context.WithCancel(t.Context())
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "http://mcp.example/", nil)
		x := &exchange{r: r, seen: &Request{}, route: f.routes[0]}
		out := &response{ResponseWriter: w, x: x}
		x.w, x.body = out, newBody(out, r)
		f.withheld(x, c.err)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.detail) || strings.Contains(w.Body.String(), canary) || x.seen.Denied != c.denied {
			t.Errorf("%v: %d, %s, denied %q", c.err, w.Code, w.Body, x.seen.Denied)
		}
		leave()
		if !aborts(t, func() { f.withheld(x, c.err) }) {
			t.Errorf("%v: a client that has left is answered", c.err)
		}
	}
}

func TestALogHasNothingOfWhatWasRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("malformed HTTP response %q", canary), "*errors.errorString"},
		{fmt.Errorf("%s: %w", canary, textproto.ProtocolError(canary)), "textproto.ProtocolError"},
		{fmt.Errorf("%s: %w", canary, hidden("a list")), "a list"},
		{&unfit{answer{title: "shared"}}, "shared"},
		{io.ErrUnexpectedEOF, "unexpected EOF"},
		{errLate, errLate.Error()},
		{errAgain, errAgain.Error()},
		{context.Canceled, "context canceled"},
		{&errUnreached{errors.New("refused")}, "refused"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "certificate signed by unknown authority"},
		{fmt.Errorf("%s: %w", canary, tls.RecordHeaderError{Msg: "no TLS", RecordHeader: [5]byte([]byte(canary))}), "tls: no TLS"},
		{fmt.Errorf("%s: %w", canary, http.ErrSchemeMismatch), http.ErrSchemeMismatch.Error()},
	} {
		if got := loggable(c.err); !strings.HasSuffix(got, c.want) || strings.Contains(got, canary) {
			t.Errorf("%v is logged as %q, want %q", c.err, got, c.want)
		}
	}
}
