package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is refused without a look at its body is answered all the same while the
// body is on its way.
func TestRefusalWaitsForNoUpload(t *testing.T) {
	t.Parallel()
	p := newPair(t, "h1")
	var all sync.WaitGroup
	defer all.Wait()
	for head, status := range map[string]int{
		"POST /v1/x HTTP/1.1\r\nHost: {A}\r\nConnection: Upgrade\r\nUpgrade: caf\xe9\r\n": 400,
		"POST /v1/x HTTP/1.1\r\nHost: other.test\r\n":                                     421,
		"TRACE /v1/x HTTP/1.1\r\nHost: {A}\r\n":                                           405,
		"POST / HTTP/1.1\r\nHost: door\r\n":                                               405,
		"POST http://{A}/#x HTTP/1.1\r\nHost: {A}\r\n":                                    400,
		"CONNECT nowhere HTTP/1.1\r\nHost: nowhere\r\n":                                   400,
	} {
		c := p.world.door()
		if strings.Contains(head, " /v1") {
			c = p.tlsTo(p.authority, "http/1.1")
		}
		c.SetDeadline(time.Now().Add(guard))
		io.WriteString(c, strings.ReplaceAll(head, "{A}", p.authority)+"Content-Length: 5\r\n\r\nab")
		all.Go(func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("%q: %v", head, err)
				return
			}
			if res.StatusCode != status {
				t.Errorf("%q: %s", head, res.Status)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Errorf("%q: %v", head, err)
			}
			if n, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("%q: behind the answer came %d bytes, %v", head, n, err)
			}
		})
	}
}
