package inject_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/inject"
)

var smuggled = []string{
	"Authorization", "X-Api-Key", "X-Stripped", "X-Set", "Cookie", "Set-Cookie", "Host", "Content-Length", "Transfer-Encoding",
	"Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Proxy-Authorization", "Proxy-Anything", "Content-Type",
	"Content-Encoding", "Content-Range", "Expect", "Range", "If-Match", "Cache-Control", "authorization", "x-api-key", "x bad",
}

// trailing is a body at whose end the trailers come in.
type trailing struct {
	io.Reader
	req    *http.Request
	values http.Header
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		for name, v := range b.values {
			b.req.Trailer[name] = v
		}
	}
	return n, err
}

func (b *trailing) Close() error { return nil }

func TestTrailersCarryNoCredentialAndNoFraming(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{true, false} {
		both(t, func(t *testing.T, proto string) {
			up := newUpstream(t, proto)
			rt := up.route(t, new(source), inject.Options{
				Header: "X-Api-Key", Strip: []string{"X-Stripped"},
				Headers: []inject.Header{{Name: "X-Set", Value: literal("set")}},
			})
			req := get(t, up.URL+"/v1/x")
			req.Method, req.ContentLength = "POST", -1
			req.Trailer = http.Header{"X-Checksum": nil, "X-Torn": nil}
			late := http.Header{"X-Checksum": {"abc", "def"}, "X-Late": {"late"}, "X-Torn": {"a\r\nAuthorization: b", "c\x00"}}
			for _, name := range smuggled {
				late[name] = []string{"smuggled"}
				if announced {
					req.Trailer[name] = nil
				}
			}
			req.Body = &trailing{Reader: strings.NewReader("body"), req: req, values: late}
			if err := do(t, rt, req); err != nil {
				t.Fatal(err)
			}
			seen := up.last()
			want(t, "body", up.body, "body")
			want(t, "honest trailer", values(seen.Trailer, "X-Checksum"), `["abc" "def"]`)
			want(t, "torn trailer", values(seen.Trailer, "X-Torn"), "[]")
			for name, v := range seen.Trailer {
				if strings.Contains(strings.Join(v, ""), "smuggled") {
					t.Errorf("the trailer %s came through: %q", name, v)
				}
			}
			want(t, "header of the token", values(seen.Header, "X-Api-Key"), `["the-token"]`)
			want(t, "set header", values(seen.Header, "X-Set"), `["set"]`)
			if len(req.Trailer) == 0 || req.Trailer.Get("X-Checksum") != "abc" {
				t.Errorf("the caller's trailers were changed: %v", req.Trailer)
			}
		})
	}
}

func TestOnlyForbiddenTrailersAreNone(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		up := newUpstream(t, proto)
		rt := up.route(t, new(source), inject.Options{Scheme: "Bearer"})
		req := get(t, up.URL+"/v1/x")
		req.Method, req.ContentLength, req.Trailer = "POST", -1, http.Header{"Authorization": nil}
		req.Body = &trailing{Reader: strings.NewReader("body"), req: req, values: http.Header{"Authorization": {"smuggled"}}}
		if err := do(t, rt, req); err != nil {
			t.Fatal(err)
		}
		seen := up.last()
		want(t, "trailers", len(seen.Trailer), 0)
		want(t, "header", values(seen.Header, "Authorization"), `["Bearer the-token"]`)
	})
}

// What a client really sends goes through net/http's server, which merges names
// that were never announced into the announced ones.
func TestUnannouncedTrailerOfAClientDoesNotPass(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, "HTTP/1.1")
	rt := up.route(t, new(source), inject.Options{Scheme: "Bearer"})
	var met atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.Trailer = r.Trailer
		out.RequestURI, out.Host, out.URL = "", "", get(t, up.URL+"/v1/x").URL
		if err := do(t, rt, out); err != nil {
			t.Error(err)
		}
		met.Store(r.Trailer.Get("Authorization") == "smuggled")
	}))
	defer front.Close()
	conn := dial(t, front)
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n"+
		"4\r\nbody\r\n0\r\nX-Checksum: abc\r\nAuthorization: smuggled\r\n\r\n")
	io.Copy(io.Discard, conn)
	want(t, "net/http lets it in", met.Load(), true)
	seen := up.last()
	want(t, "honest trailer", seen.Trailer.Get("X-Checksum"), "abc")
	want(t, "smuggled trailer", seen.Trailer.Get("Authorization"), "")
}

func TestTrailersSurviveARewoundBody(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, "HTTP/1.1")
	dropped := false
	next := roundTripper(func(req *http.Request) (*http.Response, error) {
		if !dropped { // as the Transport does when a pooled connection has died
			dropped = true
			io.CopyN(io.Discard, req.Body, 2)
			req.Body.Close()
			again, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			req = req.WithContext(req.Context())
			req.Body = again
		}
		return up.Client().Transport.RoundTrip(req)
	})
	rt := inject.New(next, upstreamOptions(t, up))
	req := get(t, up.URL+"/v1/x")
	req.Method, req.ContentLength, req.Trailer = "POST", -1, http.Header{"X-Checksum": nil}
	again := func() (io.ReadCloser, error) {
		return &trailing{Reader: strings.NewReader("body"), req: req, values: http.Header{"X-Checksum": {"abc"}, "Authorization": {"smuggled"}}}, nil
	}
	req.Body, _ = again()
	req.GetBody = again
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	seen := up.last()
	want(t, "body", up.body, "body")
	want(t, "honest trailer", seen.Trailer.Get("X-Checksum"), "abc")
	want(t, "smuggled trailer", seen.Trailer.Get("Authorization"), "")
}
