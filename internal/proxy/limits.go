package proxy

import "time"

const (
	maxHeaderBytes    = 256 << 10
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 5 * time.Minute
)

// limits bound how long a client may keep the proxy waiting. They end with
// the handshake of an interception; a tunnel has none.
type limits struct {
	header    time.Duration // for the header of a request, from its first byte or the connection's beginning
	handshake time.Duration // for the TLS handshake inside a CONNECT
	idle      time.Duration // between two requests
}

// orDefaults fills in the limits that are not set.
func (l limits) orDefaults() limits {
	if l.header == 0 {
		l.header = readHeaderTimeout
	}
	if l.handshake == 0 {
		l.handshake = connectTimeout
	}
	if l.idle == 0 {
		l.idle = idleTimeout
	}
	return l
}
