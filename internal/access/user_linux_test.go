package access

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// loopbacks are the forms in which a client can reach us.
var loopbacks = []struct{ name, network, listen, dial string }{
	{"IPv4", "tcp4", "127.0.0.1:0", "127.0.0.1"},
	{"IPv6", "tcp6", "[::1]:0", "::1"},
	{"IPv4 to a dual-stack listener", "tcp", "[::]:0", "127.0.0.1"},
	{"mapped IPv4", "tcp4", "127.0.0.1:0", "::ffff:127.0.0.1"},
}

// target is host with the port that l listens on.
func target(t *testing.T, l net.Listener, host string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, port)
}

func TestSameUserIsAdmitted(t *testing.T) {
	if os.Geteuid() == nobody {
		missing(t, "nobody is never the same user")
	}
	for _, tt := range loopbacks {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, tt.network, tt.listen)
			_, server := dial(t, l, target(t, l, tt.dial), nil)
			if err := new(Policy).Peer(server).Admit(nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// A client may well speak IPv4 through an IPv6 socket: Java's do.
func TestSameUserOnAnIPv6SocketIsAdmitted(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		missing(t, "no IPv6 sockets: %v", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet6{
		Port: l.Addr().(*net.TCPAddr).Port,
		Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16(),
	}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	if err := new(Policy).Peer(accept(t, l)).Admit(nil); err != nil {
		t.Error(err)
	}
}

func TestAnotherUserNeedsTheCredential(t *testing.T) {
	for _, tt := range loopbacks {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			secret := Generate()
			policy, err := New("auto", secret)
			if err != nil {
				t.Fatal(err)
			}
			l := listen(t, tt.network, tt.listen)
			server, _ := dialAsNobody(t, l, target(t, l, tt.dial), "")
			peer := policy.Peer(server)

			err = peer.Admit(nil)
			if err == nil || !strings.Contains(err.Error(), "another user (uid 65534)") {
				t.Errorf("without the credential: %v", err)
			}
			if err := peer.Admit([]string{basic("x", Generate().Reveal())}); err == nil {
				t.Error("admitted with a wrong credential")
			}
			if err := peer.Admit([]string{basic("x", secret.Reveal())}); err != nil {
				t.Errorf("with the credential: %v", err)
			}
		})
	}
}

// Some kernels report uid 0 for a socket whose process has closed it,
// which is ours where the proxy runs as root.
func TestSocketThatAnotherUserClosedIsNobodys(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	server, hangUp := dialAsNobody(t, l, l.Addr().String(), "")
	hangUp()
	if err := new(Policy).Peer(server).Admit(nil); err == nil {
		t.Error("admitted")
	}
}

func TestSocketThatWeClosedIsNobodys(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := dial(t, l, l.Addr().String(), nil)
	client.Close()
	if err := new(Policy).Peer(server).Admit(nil); err == nil {
		t.Error("admitted")
	}
}

// The kernel calls every user nobody that it cannot express in our user
// namespace, so nobody is not known to be nobody.
func TestNobodyIsNeverTheSameUser(t *testing.T) {
	for uid, want := range map[uint32]string{1234: "admitted: <nil>", nobody: "admitted: the client is another user"} {
		out, err := asUser(t, uid, "self", "").Output()
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("uid %d: %q, %v", uid, out, err)
		}
	}
}

// The kernel is asked about the socket with exactly these addresses. A search
// by port alone would find ours.
func TestSamePortOfAnotherAddressIsAnotherUsers(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	mine, server := dial(t, l, l.Addr().String(), nil)
	_, port, err := net.SplitHostPort(mine.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, _ := dialAsNobody(t, l, l.Addr().String(), net.JoinHostPort("127.0.0.2", port))
	if err := new(Policy).Peer(other).Admit(nil); err == nil {
		t.Error("another user was admitted on the port that a socket of ours has on another address")
	}
	if err := new(Policy).Peer(server).Admit(nil); err != nil {
		t.Errorf("same user: %v", err)
	}
}

// Asked for a socket that is gone, the kernel names a listener on its port.
func TestListenerOnTheClientsPortIsNotTheClient(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := dial(t, l, l.Addr().String(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)})
	client.(*net.TCPConn).SetLinger(0) // reset: nothing stays behind
	client.Close()
	listen(t, "tcp4", client.LocalAddr().String())

	err := new(Policy).Peer(server).Admit(nil)
	if err == nil || !strings.Contains(err.Error(), "its socket is gone") {
		t.Errorf("got %v", err)
	}
}

// One look per connection: the next request on it is not refused because the
// client has since closed its end.
func TestVerdictLastsAsLongAsTheConnection(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := dial(t, l, l.Addr().String(), nil)
	peer := new(Policy).Peer(server)
	if err := peer.Admit(nil); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := peer.Admit(nil); err != nil {
		t.Errorf("the kernel was asked again: %v", err)
	}
}

func TestModes(t *testing.T) {
	secret := Generate()
	l := listen(t, "tcp4", "127.0.0.1:0")
	_, server := dial(t, l, l.Addr().String(), nil)
	right := []string{basic("x", secret.Reveal())}
	tests := []struct {
		mode   string
		header []string
		admit  bool
	}{
		{"auto", nil, true},
		{"auto", []string{"Basic nonsense"}, true}, // a stale credential in the environment does no harm
		{"credential", nil, false},
		{"credential", right, true},
		{"open", nil, true},
	}
	for _, tt := range tests {
		policy, err := New(tt.mode, secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.Peer(server).Admit(tt.header); (err == nil) != tt.admit {
			t.Errorf("mode %s, header %q: %v", tt.mode, tt.header, err)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	local, remote := netip.MustParseAddrPort("127.0.0.1:5000"), netip.MustParseAddrPort("127.0.0.1:8877")
	good := request(local, remote) // a request is not an answer
	for _, answer := range [][]byte{nil, {0}, good[:16], good, make([]byte, 72), append(good[:4:4], make([]byte, 84)...)} {
		if uid, err := holder(answer, local, remote); err == nil {
			t.Errorf("%x: uid %d", answer, uid)
		}
	}
}

func BenchmarkSocketUser(b *testing.B) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	local, _ := addrPort(c.LocalAddr())
	remote, _ := addrPort(c.RemoteAddr())
	for b.Loop() {
		if uid, err := socketUser(local, remote); err != nil || int(uid) != syscall.Geteuid() {
			b.Fatal(uid, err)
		}
	}
}
