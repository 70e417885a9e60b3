package access

import (
	"net"
	"strings"
	"testing"
)

// end is a connection as far as its addresses go.
type end struct {
	net.Conn
	remote, local net.Addr
}

func (e end) RemoteAddr() net.Addr { return e.remote }
func (e end) LocalAddr() net.Addr  { return e.local }

func TestPeerThatIsNotOnLoopbackNeedsTheCredential(t *testing.T) {
	secret := Generate()
	policy, err := New("auto", secret)
	if err != nil {
		t.Fatal(err)
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8877}
	for _, remote := range []net.Addr{
		nil,
		(*net.TCPAddr)(nil),
		&net.TCPAddr{},
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5000},
		&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 5000},
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 5000, Zone: "lo"},
		&net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 5000},
		&net.UnixAddr{Name: "@", Net: "unix"},
	} {
		peer := policy.Peer(end{remote: remote, local: local})
		if err := peer.Admit(nil); err == nil || !strings.Contains(err.Error(), "not on loopback") {
			t.Errorf("%v: %v", remote, err)
		}
		if err := peer.Admit([]string{basic("x", secret.Reveal())}); err != nil {
			t.Errorf("%v, with the credential: %v", remote, err)
		}
	}
}

func TestNewRefusesWhatItCannotHold(t *testing.T) {
	for _, mode := range []string{"Auto", "none", "credential "} {
		if p, err := New(mode, Generate()); err == nil {
			t.Errorf("mode %q: %+v", mode, p)
		}
	}
	if _, err := New("credential", Credential{}); err == nil {
		t.Error("a policy that nobody can satisfy")
	}
}
