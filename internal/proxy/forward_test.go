package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/record"
)

// An upstream that has sent all it declared, and not yet ended its stream, is
// not waited for.
func TestLastBytesDoNotWaitForTheEnd(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		read := make(turns)
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
			flush(w)
			read.wait(r.Context())
		})
		req := r.request("GET", "", nil)
		body := r.do(req).Body
		got := make([]byte, 5)
		if _, err := io.ReadFull(body, got); err != nil || string(got) != "hello" {
			t.Fatalf("read %q, %v", got, err)
		}
		read.send(req.Context())
		if n, err := body.Read(got); n != 0 || err != io.EOF {
			t.Errorf("behind it %d, %v", n, err)
		}
	})
}

// What came of an answer that breaks off, its header at least, is passed on
// before the break.
func TestWhatCameBeforeABreakArrives(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			length, came, _ := strings.Cut(r.URL.Path[1:], "/")
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			io.WriteString(w, came)
			flush(w)
			panic(http.ErrAbortHandler)
		})
		for path, want := range map[string]string{"100/": "", "100/half": "half", "/": "", "/half": "half"} {
			res := r.do(r.request("GET", path, nil))
			if b, err := io.ReadAll(res.Body); err == nil || string(b) != want || res.StatusCode != 200 {
				t.Errorf("%s: %s %q, %v", path, res.Status, b, err)
			}
		}
	})
}

func TestUpgradeThatNamesNoProtocolIsRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t, "h1")
	for _, name := range []string{"caf\xe9", "a\tb"} {
		raw := get1("/v1/x", p.authority, "Connection: Upgrade", "Upgrade: "+name)
		wantAnswer(t, rawHTTP1(t, p.tlsTo(p.authority, "http/1.1"), "GET", raw), 400, "malformed-request")
		if seen := p.upstream.take(); len(seen) > 0 {
			t.Errorf("%q reached the upstream: %+v", name, seen)
		}
	}
}

// A protocol that nobody asked for is no answer.
func TestSwitchToAnotherProtocolIsAnswered(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string][]string{
		"another": {"Connection: Upgrade", "Upgrade: lines"}, "none": nil, "no word of it": {"Upgrade: other"}, "h2c": {"Connection: Upgrade", "Upgrade: h2c"},
	} {
		origins := newOrigins(t)
		api := origins.scripted(t, "api.test", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nsecret")
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
		wantAnswer(t, rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1("/v1/x", api, asked...)), 502, "upstream-aborted")
		if name == "none" {
			wantAnswer(t, newHTTP2Raw(t, w.tlsTo(api, "h2")).request(get2("/v1/x", api), "", nil), 502, "upstream-aborted")
		}
	}
}

func TestHintsHaveNoFieldsForTheNextHop(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		origins := newOrigins(t)
		api := origins.scripted(t, "api.test", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 1\r\nProxy-Authenticate: Basic\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		r := rigTo(t, origins, api, client)
		req := r.request("GET", "", nil)
		hints := ""
		res := r.do(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints += fmt.Sprint(code, h)
				return nil
			},
		})))
		if want := "103 map[Link:[<x>]]"; hints != want {
			t.Errorf("%s client: hints %s, want %s", client, hints, want)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hi" {
			t.Errorf("%s client: %q, %v", client, b, err)
		}
	}
}

func TestTrailerThatNeverCameIsNone(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	api := origins.scripted(t, "api.test", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
	for client, r := range map[string]reply{
		"h1": rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1("/v1/x", api)),
		"h2": newHTTP2Raw(t, w.tlsTo(api, "h2")).request(get2("/v1/x", api), "", nil),
	} {
		if r.err != nil || r.status != 200 || r.body != "hello" || len(r.trailer) > 0 && len(r.trailer.Values("X-A")) > 0 {
			t.Errorf("%s client: %+v", client, r)
		}
	}
}

// A route that goes on reading behind its answer reads nothing that may belong
// to the next request, and what it finds is no failure of the client's.
func TestBodyThatWasClosedIsNotRead(t *testing.T) {
	t.Parallel()
	client := io.NopCloser(strings.NewReader("body"))
	b := &bodyWatch{ReadCloser: client, trailer: screenTrailer(nil)}
	b.Read(make([]byte, 1))
	b.Close()
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) || b.failed.Load() != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if rest, _ := io.ReadAll(client); string(rest) != "ody" {
		t.Errorf("net/http is left with %q", rest)
	}
}

// Whoever keeps a request's body finds it closed once the request is over.
func TestBodyIsClosedWithItsRequest(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		origins := newOrigins(t)
		api := origins.startUpstream(t, "api.test", "h1", http.NotFoundHandler())
		bodies := make(chan io.Reader, 1)
		done := make(chan *record.Record, 1)
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://" + api + "/"},
			route: func(string, http.RoundTripper) http.RoundTripper {
				return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					bodies <- r.Body
					return nil, &Answer{Status: http.StatusBadGateway, Type: "own", Title: "T"}
				})
			},
			change: func(o *Options) { o.Done = func(r *record.Record) { done <- r } },
		})
		ctx, cancel := context.WithTimeout(t.Context(), guard)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", "https://"+api+"/", strings.NewReader("body"))
		fatal(t, err)
		res, err := w.client(client).Do(req)
		fatal(t, err)
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		<-done
		if n, err := (<-bodies).Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("%s client: read %d, %v", client, n, err)
		}
	}
}
