package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// upgrade connects client and upstream after res, in which the upstream agrees
// to speak the protocol wanted. It returns when both directions have ended, or
// one has broken.
func (p *Proxy) upgrade(out *response, req *http.Request, x *exchange, res *http.Response, wanted string) {
	defer res.Body.Close()
	upstream, ok := res.Body.(io.ReadWriteCloser)
	if got := upgradeType(res.Header); !ok || !strings.EqualFold(got, wanted) {
		p.failed(out, req, x, fmt.Errorf("the upstream switched to protocol %q where %q was asked for", got, wanted))
		return
	}
	client, err := out.takeOver()
	if err != nil {
		return // the connection is gone, or the proxy ends: there is nobody to tell
	}
	defer client.Close()
	defer context.AfterFunc(req.Context(), func() { upstream.Close() })()
	if err := writeSwitch(client, res); err != nil {
		return
	}
	var both sync.WaitGroup
	ended := make(chan error, 2)
	both.Go(func() { ended <- pump(upstream, client) })
	both.Go(func() { ended <- pump(client, upstream) })
	if err := <-ended; err == nil {
		<-ended
	}
	client.Close()
	upstream.Close()
	both.Wait()
}

// writeSwitch sends the header of res. It is no part of what was sent through
// the connection.
func writeSwitch(client *trackedConn, res *http.Response) error {
	head := *res
	head.Body = nil // what looks like it is the connection
	w := bufio.NewWriter(client.Conn)
	if err := head.Write(w); err != nil {
		return err
	}
	return w.Flush()
}

// upgradeType returns the protocol that a message with header h asks to switch
// to, or agrees to; "" if it says nothing of the kind.
func upgradeType(h http.Header) string {
	if len(h["Connection"]) == 0 || !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}

var errNoHalfClose = errors.New("the connection cannot be closed in one direction")

// endWrite ends the write side of w.
func endWrite(w io.Writer) error {
	if h, ok := w.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errNoHalfClose
}
