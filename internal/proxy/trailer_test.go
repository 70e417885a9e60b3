package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// bodies are the lengths at which net/http treats a message differently.
var bodies = map[string]string{"empty": "", "small": "small", "large": strings.Repeat("0123456789abcdef", 64<<10/16)}

func TestRequestTrailersReachTheUpstream(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for name, body := range bodies {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
					_, announced := r.Trailer["X-Checksum"]
					b, err := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%d %v %v %q %q", len(b), err, announced, r.Trailer["X-Checksum"], r.Trailer["X-More"])
				})
				req, send := r.upload("")
				req.Trailer = http.Header{"X-Checksum": nil, "X-More": nil}
				go func() {
					io.WriteString(send, body)
					req.Trailer.Set("X-Checksum", "all of it")
					req.Trailer["X-More"] = []string{"one", "two"}
					send.Close()
				}()
				got, err := io.ReadAll(r.do(req).Body)
				fatal(t, err)
				if want := fmt.Sprintf(`%d <nil> true ["all of it"] ["one" "two"]`, len(body)); string(got) != want {
					t.Errorf("upstream saw %s, want %s", got, want)
				}
			})
		}
	})
}

func TestResponseTrailersReachTheClient(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for name, body := range bodies {
			for _, announced := range []bool{true, false} {
				t.Run(name+map[bool]string{true: " announced", false: " unannounced"}[announced], func(t *testing.T) {
					r := newRig(t, client, upstream, trailing(body, announced, false))
					wantTrailer(t, r.do(r.request("GET", "", nil)), body, announced)
				})
			}
		}
	})
}

// trailing answers with body and the trailer X-Checksum.
func trailing(body string, announced, length bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		prefix := http.TrailerPrefix
		if announced {
			w.Header().Set("Trailer", "X-Checksum")
			prefix = ""
		}
		if length {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		flush(w)
		io.WriteString(w, body)
		w.Header().Set(prefix+"X-Checksum", "all of it")
	}
}

func wantTrailer(t *testing.T, res *http.Response, body string, announced bool) {
	t.Helper()
	if _, ok := res.Trailer["X-Checksum"]; ok != announced {
		t.Errorf("announced: %v, want %v", ok, announced)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil || string(got) != body {
		t.Errorf("body of %d bytes, %v, want %d", len(got), err, len(body))
	}
	if got := res.Trailer.Get("X-Checksum"); got != "all of it" {
		t.Errorf("trailer %q", got)
	}
}

// Where all is there at once, net/http would say how long the body is, and then
// there is no room for a trailer.
func TestTrailerOfAnAnswerInOnePieceReachesTheClient(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "2\r\nhi\r\n"} {
		for _, announced := range []string{"", "Trailer: X-Sum\r\n"} {
			origins := newOrigins(t)
			api := origins.scripted(t, "api.test", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"+announced+"\r\n"+body+"0\r\nX-Sum: 1\r\n\r\n")
			w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
			for client, r := range map[string]reply{
				"h1": rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1("/v1/x", api)),
				"h2": newHTTP2Raw(t, w.tlsTo(api, "h2")).request(get2("/v1/x", api), "", nil),
			} {
				wantOnly(t, client+" trailer behind "+strconv.Quote(announced+body), r.trailer, "X-Sum")
			}
		}
	}
}

// HTTP/2 allows trailers behind a body of declared length, HTTP/1.1 does not.
func TestTrailersBehindADeclaredLength(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		t.Run(client, func(t *testing.T) {
			origins := newOrigins(t)
			authority := origins.startH2Only(t, "api.test", trailing("small", true, true)).authority
			r := rigTo(t, origins, authority, client)
			res := r.do(r.request("GET", "", nil))
			if want := map[string]int64{"h1": -1, "h2": 5}[client]; res.ContentLength != want {
				t.Errorf("Content-Length %d, want %d", res.ContentLength, want)
			}
			wantTrailer(t, res, "small", true)
		})
	}
}
