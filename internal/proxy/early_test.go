package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// refuseEarly answers before it has read anything.
func refuseEarly(w http.ResponseWriter, _ *http.Request) {
	fullDuplex(w) // or net/http would read first
	w.Header().Set("Content-Length", "7")
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, "go away")
}

func TestAnswerOvertakesAnUnfinishedUpload(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for name, length := range map[string]int64{"unknown length": -1, "known length": 1 << 30} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, client, upstream, refuseEarly)
				req, send := r.upload("")
				req.ContentLength = length
				res := r.do(req) // not one byte of the body was sent
				if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 401 || string(got) != "go away" {
					t.Errorf("%s %q, %v", res.Status, got, err)
				}
				send.Close()
			})
		}
	})
}

// What the client still had on its way when the answer came is the rest of
// the old request, never a new one.
func TestRestOfAnOvertakenUploadIsNoRequest(t *testing.T) {
	t.Parallel()
	inBody := "GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"
	for _, upstream := range []string{"h1", "h2", "h2 only"} {
		for name, frame := range map[string]struct{ header, format string }{
			"known length": {"Content-Length: %d", "%[2]s"},
			"chunked":      {"Transfer-Encoding: chunked", "%x\r\n%s\r\n0\r\n\r\n"},
		} {
			t.Run(upstream+" "+name, func(t *testing.T) {
				origins := newOrigins(t)
				paths := make(chan string, 4)
				authority := origins.start(t, upstream, func(w http.ResponseWriter, r *http.Request) {
					paths <- r.URL.Path
					refuseEarly(w, r)
				})
				r := rigTo(t, origins, authority, "h1")
				c := r.tlsTo(authority, "http/1.1")
				body := fmt.Sprintf(inBody, authority)
				header := frame.header
				if strings.Contains(header, "%d") {
					header = fmt.Sprintf(header, len(body))
				}
				fmt.Fprintf(c, "POST /first HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", authority, header)
				answers := bufio.NewReader(c)
				res, err := http.ReadResponse(answers, nil)
				fatal(t, err)
				if res.StatusCode != 401 || !res.Close {
					t.Errorf("%s, close %v", res.Status, res.Close)
				}
				io.Copy(io.Discard, res.Body)
				fmt.Fprintf(c, frame.format, len(body), body)
				if b, err := answers.ReadByte(); err != io.EOF {
					t.Errorf("behind the answer: %q, %v", b, err)
				}
				if got := <-paths; got != "/first" || len(paths) > 0 {
					t.Errorf("upstream saw %s and %d more", got, len(paths))
				}
			})
		}
	}
}

// An answer that comes when all has been read costs the client no connection.
func TestConnectionStaysAfterACompleteUpload(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"h1", "h2", "h2 only"} {
		t.Run(upstream, func(t *testing.T) {
			origins := newOrigins(t)
			authority := origins.start(t, upstream, func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, n, err)
			})
			r := rigTo(t, origins, authority, "h1")
			c := r.tlsTo(authority, "http/1.1")
			answers := bufio.NewReader(c)
			for _, size := range []int{0, 1, 5, 4096, 70000} {
				for _, frame := range []string{
					fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)),
					fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size+1, strings.Repeat("x", size+1)),
				} {
					fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\n%s", authority, frame)
					res, err := http.ReadResponse(answers, nil)
					fatal(t, err)
					io.Copy(io.Discard, res.Body)
					if res.Close {
						t.Errorf("closed after %d bytes", size)
					}
				}
			}
		})
	}
}
