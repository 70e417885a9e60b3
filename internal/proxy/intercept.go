package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/injectproxy/injectproxy/internal/match"
)

// intercept ends the client's TLS and hands the connection to the inner
// server. The handshake is made here, in the goroutine of the CONNECT, so that
// one slow client holds up nobody and a refusal can be explained.
func (p *Proxy) intercept(r *http.Request, client net.Conn) {
	target := connectFrom(r.Context())
	host, _, _ := net.SplitHostPort(target.authority) // canonical: it splits
	conn := &pinnedConn{Conn: client, connect: target, host: host}
	remove, ok := p.hijacks.add(conn)
	if !ok {
		client.Close()
		return
	}
	defer remove()
	if _, err := io.WriteString(client, established); err != nil {
		client.Close()
		return
	}
	tc := tls.Server(conn, p.tls)
	if err := p.handshake(tc, conn); err != nil {
		p.explainHandshake(err, conn)
		if speaksHTTP(err) {
			client.Write(tlsExpected().closing())
		}
		client.Close()
		return
	}
	var ready net.Conn = tc
	if tc.ConnectionState().NegotiatedProtocol != "h2" {
		ready = &http1Conn{Conn: tc}
	}
	p.handoff.put(ready)
}

// handshake makes the handshake while there is a server to hand tc to. Its
// ends come through the connection: for a context tls starts a goroutine.
func (p *Proxy) handshake(tc *tls.Conn, conn *pinnedConn) error {
	conn.SetDeadline(time.Now().Add(p.o.limits.handshake))
	stop := context.AfterFunc(p.handoff.open, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := tc.Handshake()
	if !stop() {
		return context.Canceled
	}
	conn.SetDeadline(time.Time{})
	return err
}

// newTLSConfig returns the configuration of all interceptions. It is one, so
// that a client's session tickets are good in its next tunnel too.
func (p *Proxy) newTLSConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
	}
	var near *tls.Config
	// Resumption never asks for a certificate, so the name is checked before.
	// Returning no configuration keeps this one. Tickets are its in any case.
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if err := checkServerName(hello); err != nil || !isNear(hello) {
			return nil, err
		}
		return near, nil
	}
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return p.o.Leaf(hello.Conn.(*pinnedConn).host)
	}
	// A ticket is good for the name it was issued under and no other.
	c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, []byte(ticketName+strings.ToLower(cs.ServerName)))
		return c.EncryptTicket(cs, ss)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := c.DecryptTicket(ticket, cs)
		if err != nil || ss == nil || cs.ServerName == "" {
			return nil, err
		}
		for _, extra := range ss.Extra {
			if string(extra) == ticketName+strings.ToLower(cs.ServerName) {
				return ss, nil
			}
		}
		return nil, nil
	}
	near = c.Clone()
	near.CurvePreferences = nearCurves
	near.DynamicRecordSizingDisabled = true // no packet is lost on the way
	return c
}

// nearCurves are for clients on this machine. The others, which withstand
// quantum computers, are against those who record today what they can read
// later. Whoever can record loopback can read the memory of both its ends too,
// and there they would be a fifth of what a new connection costs.
var nearCurves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// isNear reports whether the client is on this machine and knows one of
// nearCurves.
func isNear(hello *tls.ClientHelloInfo) bool {
	peer, ok := hello.Conn.RemoteAddr().(*net.TCPAddr)
	return ok && peer.IP.IsLoopback() &&
		slices.ContainsFunc(hello.SupportedCurves, func(c tls.CurveID) bool { return slices.Contains(nearCurves, c) })
}

// ticketName marks the server name in a session ticket's application data.
const ticketName = "injectproxy server name: "

// checkServerName refuses a handshake for another host than CONNECT's. A
// client need not send a name, and none does for an address.
func checkServerName(hello *tls.ClientHelloInfo) error {
	if hello.ServerName == "" {
		return nil
	}
	want := hello.Conn.(*pinnedConn).host
	got, err := match.Authority(hello.ServerName)
	if err != nil || strings.Contains(hello.ServerName, ":") || strings.TrimSuffix(got, ":443") != want {
		return errServerName
	}
	return nil
}

var errServerName = errors.New("the server name of the handshake is not the host of the CONNECT")

// explainHandshake writes one line about a failed handshake.
func (p *Proxy) explainHandshake(err error, conn *pinnedConn) {
	authority := conn.connect.authority
	switch {
	case errors.Is(err, context.Canceled): // shutting down
	case errors.Is(err, errServerName):
		p.o.Log.Warn("interception refused: the client's TLS server name differs from its CONNECT", "authority", authority)
	case refusedOurCertificate(err), conn.refused():
		p.o.Log.Warn("the client does not trust this proxy's CA", "authority", authority, "hint", p.o.TrustHint)
		if p.o.Distrusted != nil {
			p.o.Distrusted(authority)
		}
	case isTimeout(err):
		p.o.Log.Info("the client began no TLS handshake in time", "authority", authority)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		p.o.Log.Info("the client left during the TLS handshake", "authority", authority,
			"hint", "if it reports a certificate error: "+p.o.TrustHint)
	default:
		p.o.Log.Warn("TLS handshake with the client failed", "authority", authority, "error", err.Error())
	}
}

// speaksHTTP reports whether err is that of a client that began a request
// where its handshake belongs.
func speaksHTTP(err error) bool {
	e, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || e.Conn == nil {
		return false
	}
	method, _, _ := strings.Cut(string(e.RecordHeader[:]), " ")
	return httpguts.ValidHeaderFieldName(method) && strings.ToUpper(method) == method
}

func tlsExpected() *Answer {
	return &Answer{
		Status: http.StatusBadRequest, Type: "tls-expected", Title: "This connection begins with TLS", Reason: "http_request_error", Final: true,
		Detail: "The host is one that a rule names, and inside the CONNECT to it the client spoke HTTP in the clear.",
		Hint:   "Use an https URL.",
	}
}

// refusedOurCertificate reports whether err is one of the alerts that clients
// send when they do not accept a certificate (RFC 8446, section 6.2).
func refusedOurCertificate(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	if !ok || e.Op != "remote error" {
		return false
	}
	// crypto/tls keeps the alert's type to itself; its text is fixed.
	text := fmt.Sprint(e.Err)
	for _, s := range []string{"bad certificate", "unknown certificate", "unsupported certificate", "certificate expired", "certificate revoked", "access denied"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

type pinnedKey struct{}

// withPinned remembers the CONNECT for the requests of c.
func withPinned(ctx context.Context, c net.Conn) context.Context {
	conn := pinned(c)
	return withHTTP1(context.WithValue(context.WithValue(ctx, pinnedKey{}, conn), connectKey{}, conn.connect), c)
}
