package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
)

func TestEarlyHintsReachTheClientBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		next := make(turns)
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			for i := range 2 {
				w.Header().Set("Link", fmt.Sprintf("</style%d.css>; rel=preload", i))
				w.WriteHeader(http.StatusEarlyHints)
				if !next.wait(r.Context()) {
					return
				}
			}
			w.Header().Del("Link")
			io.WriteString(w, "answer")
		})
		req := r.request("GET", "", nil)
		var got []string
		ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code, h["Link"]))
				next.send(req.Context())
				return nil
			},
		})
		res := r.do(req.WithContext(ctx))
		want := "103 [</style0.css>; rel=preload] 103 [</style1.css>; rel=preload]"
		if strings.Join(got, " ") != want {
			t.Errorf("informational answers: %s", got)
		}
		if link := res.Header["Link"]; len(link) > 0 {
			t.Errorf("a hint's field stayed in the answer: %q", link)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "answer" {
			t.Errorf("answer %q, %v", body, err)
		}
	})
}

// strict is a client that sends the body of its request only when told to.
func strict(t *testing.T, r *rig, length int) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	c := r.tlsTo(r.authority, "http/1.1")
	fmt.Fprintf(c, "POST /strict HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", r.authority, length)
	return c, bufio.NewReader(c)
}

func TestStrictExpectContinue(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"h1", "h2", "h2 only"} {
		t.Run(upstream, func(t *testing.T) {
			origins := newOrigins(t)
			authority := origins.start(t, upstream, func(w http.ResponseWriter, r *http.Request) {
				for range 2 { // once more than a simple client can take
					w.WriteHeader(http.StatusContinue)
				}
				b, err := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%q %v", b, err)
			})
			r := rigTo(t, origins, authority, "h1")
			c, answers := strict(t, r, 4)
			if head := readHeadFrom(t, answers); !strings.HasPrefix(head, "HTTP/1.1 100 ") {
				t.Fatalf("in place of 100: %s", head)
			}
			io.WriteString(c, "body")
			res, err := http.ReadResponse(answers, nil)
			fatal(t, err)
			got, err := io.ReadAll(res.Body)
			if want := `"body" <nil>`; err != nil || string(got) != want {
				t.Errorf("upstream saw %s, %v", got, err)
			}
			// The connection is good for the next request.
			wantNext(t, c, answers, r.authority)
		})
	}
}

func wantNext(t *testing.T, c io.Writer, answers *bufio.Reader, authority string) {
	t.Helper()
	fmt.Fprintf(c, "GET /next HTTP/1.1\r\nHost: %s\r\n\r\n", authority)
	res, err := http.ReadResponse(answers, nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("next request on the same connection: %v, %v", res, err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	fatal(t, err)
}

// readHeadFrom reads a header through its empty line.
func readHeadFrom(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", head.String(), err)
		}
		head.WriteString(line)
	}
	return head.String()
}

func TestExpectContinueRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"h1", "h2", "h2 only"} {
		for _, code := range []int{http.StatusUnauthorized, http.StatusExpectationFailed, http.StatusOK} {
			t.Run(fmt.Sprint(upstream, " ", code), func(t *testing.T) {
				origins := newOrigins(t)
				authority := origins.start(t, upstream, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(code)
					io.WriteString(w, "without your body")
				})
				r := rigTo(t, origins, authority, "h1")
				_, answers := strict(t, r, 1<<30)
				res, err := http.ReadResponse(answers, nil) // no 100 before it
				fatal(t, err)
				if res.StatusCode != code {
					t.Fatalf("status %s", res.Status)
				}
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != "without your body" {
					t.Errorf("body %q, %v", got, err)
				}
				// Whether the body still comes is unknown: no request may follow.
				if !res.Close {
					t.Error("the connection stays open in the middle of a request")
				}
				if b, err := answers.ReadByte(); err != io.EOF {
					t.Errorf("behind the answer: %q, %v", b, err)
				}
			})
		}
	}
}

func TestExpectContinueOfARealClient(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refused" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
		})
		r.http.Transport.(*http.Transport).ExpectContinueTimeout = guard
		for _, path := range []string{"refused", "accepted", "refused", "accepted"} {
			req := r.request("POST", path, strings.NewReader("body"))
			req.Header.Set("Expect", "100-continue")
			res := r.do(req)
			b, err := io.ReadAll(res.Body)
			if path == "accepted" && string(b) != "body" || path == "refused" && res.StatusCode != 401 || err != nil {
				t.Errorf("%s: %s %q, %v", path, res.Status, b, err)
			}
		}
	})
}

// lateHint is a body whose closing brings a hint, as does an attempt that the
// route has left.
type lateHint struct {
	io.Reader
	hint func(int, textproto.MIMEHeader) error
}

func (l *lateHint) Close() error {
	return l.hint(http.StatusEarlyHints, textproto.MIMEHeader{"Link": {"</late.css>"}})
}

func TestHintBehindTheAnswerIsForNobody(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		w := newWorld(t, newOrigins(t), worldOptions{
			prefixes: []string{"https://api.test/v1"},
			upstream: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				hint := httptrace.ContextClientTrace(r.Context()).Got1xxResponse
				return &http.Response{StatusCode: 304, Header: http.Header{"Etag": {"x"}}, Request: r, Body: &lateHint{strings.NewReader(""), hint}}, nil
			}),
		})
		req, err := http.NewRequest("GET", "https://api.test/v1/x", nil)
		fatal(t, err)
		ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				t.Errorf("%s client: %d", client, code)
				return nil
			},
		})
		res, err := w.client(client).Do(req.WithContext(ctx))
		fatal(t, err)
		res.Body.Close()
		if res.StatusCode != 304 || res.Header.Get("Etag") != "x" || res.Header.Get("Link") != "" {
			t.Errorf("%s client: %s %v", client, res.Status, res.Header)
		}
	}
}
