package gate

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// upgradeType returns the protocol that a message with header h asks to switch
// to, or agrees to, in lower case; "" if it says nothing of the kind.
func upgradeType(h http.Header) string {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return strings.ToLower(h.Get("Upgrade"))
}

// upgradable refuses WebSocket on a route that decides about messages: nobody
// would read them. Other upgrades are ignored, as a server may.
func (g *Gate) upgradable(x *exchange) bool {
	if x.route.plain() || upgradeType(x.r.Header) != "websocket" {
		return true
	}
	x.refuse(answer{
		status: http.StatusForbidden, kind: "upgrade", title: "WebSocket is not served here", denied: deniedUpgrade,
		detail: "the route decides on each message, and those of a WebSocket cannot be read",
		hint:   "Use streamable HTTP",
	})
	return false
}

// upgrade connects client and upstream after res, in which the upstream agrees to
// speak WebSocket. It returns when both directions have ended, one has broken, or
// the caller's token has been over for a minute.
func (g *Gate) upgrade(x *exchange, res *http.Response) {
	upstream, ok := res.Body.(io.ReadWriteCloser)
	if !ok || upgradeType(x.r.Header) != "websocket" || upgradeType(res.Header) != "websocket" {
		x.refuse(answer{status: http.StatusBadGateway, kind: "upstream-answer", title: "The server switched to a protocol that was not asked for"})
		return
	}
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.refuse(answer{status: http.StatusBadGateway, kind: "upgrade", title: "The connection cannot be upgraded", hint: "Use HTTP/1.1"})
		return
	}
	defer client.Close()
	remove, ok := g.work.add(client)
	if !ok {
		return
	}
	defer remove()
	if end := x.until(); !end.IsZero() {
		defer time.AfterFunc(time.Until(end), func() { client.Close() }).Stop()
	}
	x.w.(*response).answered(http.StatusSwitchingProtocols)
	if err := writeSwitch(client, x, res); err != nil {
		return
	}
	x.seen.Bytes += join(client, buffered.Reader, upstream)
}

// join passes on what both sides say until both have ended, or one has broken,
// and returns how much was for the client. What it sent too early is in early.
func join(client net.Conn, early io.Reader, upstream io.ReadWriteCloser) (sent int64) {
	var both sync.WaitGroup
	ended := make(chan error, 2)
	both.Go(func() { ended <- half(upstream, early, nil) })
	both.Go(func() { ended <- half(client, upstream, &sent) })
	if err := <-ended; err == nil {
		<-ended
	}
	client.Close()
	upstream.Close()
	both.Wait()
	return sent
}

// half passes one direction on, and its end.
func half(to io.Writer, from io.Reader, sent *int64) error {
	n, err := io.Copy(to, from)
	if sent != nil {
		*sent = n
	}
	if err != nil {
		return err
	}
	if h, ok := to.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return io.ErrClosedPipe
}

// writeSwitch sends the header of res to the client.
func writeSwitch(client net.Conn, x *exchange, res *http.Response) error {
	head := http.Response{StatusCode: res.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
	x.answerHeader(head.Header, res.Header)
	head.Header["Connection"], head.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	w := bufio.NewWriter(client)
	if err := head.Write(w); err != nil {
		return err
	}
	return w.Flush()
}
