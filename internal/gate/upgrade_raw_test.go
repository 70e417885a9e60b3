package gate

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Own: 1\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\n\r\n"

// connect sends the gate's plain route a request to upgrade to protocol, "" for
// none, followed by what is early, and returns the connection and the answer.
func connect(t *testing.T, f *front, protocol, early string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	head := "GET /plain HTTP/1.1\r\nHost: " + strings.TrimPrefix(f.url, "http://") + "\r\nAuthorization: Bearer " + canary + "\r\n"
	if protocol != "" {
		head += "Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"+early); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(c)
	res, err := http.ReadResponse(from, &http.Request{Method: http.MethodGet})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), from, res
}

// TestEachDirectionOfAnUpgradeEndsByItself holds that what is on its way when one
// side has ended arrives, and what the client said too early, too.
func TestEachDirectionOfAnUpgradeEndsByItself(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{Routes: routesOf("1.1")}, wire(t, func(c *net.TCPConn, from *bufio.Reader) {
		_, _ = io.WriteString(c, switches)
		all, _ := io.ReadAll(from)
		_, _ = io.WriteString(c, "heard "+string(all))
	}))
	c, from, res := connect(t, f, "websocket", "early, ")
	if h := res.Header; res.StatusCode != 101 || h.Get("X-Own") != "1" || h.Get("X-Hop") != "" || h.Get("Proxy-Authenticate") != "" || h.Get("Connection") != "Upgrade" {
		t.Errorf("%s, %v", res.Status, h)
	}
	_, _ = io.WriteString(c, "late")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(from); err != nil || string(got) != "heard early, late" {
		t.Errorf("%q, %v", got, err)
	}
	if done := <-f.done; done.Bytes != int64(len("heard early, late")) {
		t.Errorf("told of %+v", done)
	}
	if f.work.mu.Lock(); len(f.work.conns) != 0 {
		t.Errorf("%d connections are still known", len(f.work.conns))
	}
	f.work.mu.Unlock()
}

func TestAnUpgradeThatTheUpstreamBreaksIsCut(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{Routes: routesOf("1.1")}, wire(t, func(c *net.TCPConn, from *bufio.Reader) {
		_, _ = io.WriteString(c, switches)
		_, _ = from.ReadByte()
		_ = c.SetLinger(0)
	}))
	c, from, _ := connect(t, f, "websocket", "")
	_, _ = io.WriteString(c, "x")
	_, _ = io.ReadAll(from) // its end is all that counts
	<-f.done
}

func TestAProtocolThatNobodyAskedForIsNotSpoken(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"", "foo", "websocket"} {
		answer := switches
		if asked == "websocket" {
			answer = strings.Replace(switches, "websocket", "foo", 1)
		}
		f := stand(t, Options{Routes: routesOf("1.1")}, wire(t, func(c *net.TCPConn, from *bufio.Reader) {
			_, _ = io.WriteString(c, answer)
			_, _ = from.ReadByte()
		}))
		if _, _, res := connect(t, f, asked, ""); res.StatusCode != 502 {
			t.Errorf("asked for %q: %s", asked, res.Status)
		}
	}
}
