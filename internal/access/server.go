package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
)

// Server reports whether the process at the other end of c, a connection that
// this process has made and that was answered, is of this process's user. Known
// is false where the system does not tell.
//
// A port is anybody's who takes it first: before a credential is shown there,
// whoever asks has to know whose it is.
func Server(c net.Conn) (ours, known bool) {
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return false, false
	}
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return false, false
	}
	uid, err := socketUser(remote, local)
	if err != nil {
		return false, false
	}
	return int64(uid) == int64(os.Geteuid()), true
}

// Proof is what only a holder of c can answer to challenge (HMAC-SHA256, RFC
// 2104, in hex), so that a server can show that it is the one meant before it is
// shown c. The challenge has to be new each time, and to name the server's
// address, lest somebody in between has it answered elsewhere.
func (c Credential) Proof(challenge string) string {
	mac := hmac.New(sha256.New, []byte(c.Reveal()))
	mac.Write([]byte("injectproxy proof\n" + challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// Proves reports whether proof is that of c for challenge.
func (c Credential) Proves(challenge, proof string) bool {
	return c.value != nil && hmac.Equal([]byte(c.Proof(challenge)), []byte(proof))
}

// Proof is that of the policy's credential, "" if it has none.
func (p *Policy) Proof(challenge string) string {
	if p.credential == (Credential{}) {
		return ""
	}
	return p.credential.Proof(challenge)
}
