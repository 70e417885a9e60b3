package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hop is a port of localhost for clients without a token: it puts one on each of
// their requests and passes on everything else byte by byte, Host and Origin
// first of all.
type hop struct {
	host string // localhost, and its port

	all   sync.WaitGroup
	mu    sync.Mutex
	to    string // address
	token string
	conns []net.Conn
}

func newHop(t *testing.T) *hop {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	h := &hop{host: "localhost:" + port}
	h.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.all.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.all.Wait()
	})
	return h
}

// leadTo has requests go to address, with token.
func (h *hop) leadTo(address, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to, h.token = address, token
}

func (h *hop) serve(down net.Conn) {
	defer down.Close()
	h.mu.Lock()
	to, token := h.to, h.token
	up, err := net.Dial("tcp", to)
	if err == nil {
		h.conns = append(h.conns, down, up)
	}
	h.mu.Unlock()
	if err != nil {
		return
	}
	defer up.Close()
	h.all.Go(func() {
		in := bufio.NewReader(down)
		for passRequest(up, in, "Authorization: Bearer "+token+"\r\n") == nil {
		}
		up.(*net.TCPConn).CloseWrite()
	})
	pump(down, up)
}

// passRequest copies one request, with another field at the head of its header.
func passRequest(to io.Writer, from *bufio.Reader, field string) error {
	var head strings.Builder
	length, chunked := int64(0), false
	for {
		l, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		head.WriteString(l)
		if head.Len() == len(l) { // the request line
			head.WriteString(field)
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(l), ":")
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Content-Length":
			length, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		case "Transfer-Encoding":
			chunked = true
		case "":
			if _, err := io.WriteString(to, head.String()); err != nil {
				return err
			}
			if chunked {
				return passChunks(to, from)
			}
			_, err := io.CopyN(to, from, length)
			return err
		}
	}
}

// passChunks copies a body in chunks, whatever follows the last one included.
func passChunks(to io.Writer, from *bufio.Reader) error {
	for last := false; ; {
		l, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := io.WriteString(to, l); err != nil {
			return err
		}
		if last { // in the trailer
			if strings.TrimSpace(l) == "" {
				return nil
			}
			continue
		}
		var size int64
		if _, err := fmt.Sscanf(l, "%x", &size); err != nil {
			return err
		}
		if last = size == 0; !last {
			if _, err := io.CopyN(to, from, size+2); err != nil {
				return err
			}
		}
	}
}
