package access

import (
	"net"
	"runtime"
	"testing"
)

func TestServerOfThisUserIsKnown(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ours, known := Server(c); !ours || !known {
		t.Errorf("ours %v, known %v", ours, known)
	}
}

func TestProofIsOfTheCredentialAndTheChallenge(t *testing.T) {
	a, b := Generate(), Generate()
	proof := a.Proof("one\n127.0.0.1:1")
	if !a.Proves("one\n127.0.0.1:1", proof) {
		t.Error("the proof does not hold")
	}
	for name, wrong := range map[string]bool{
		"another credential": b.Proves("one\n127.0.0.1:1", proof),
		"another challenge":  a.Proves("two\n127.0.0.1:1", proof),
		"another address":    a.Proves("one\n127.0.0.1:2", proof),
		"no proof":           a.Proves("one\n127.0.0.1:1", ""),
		"no credential":      Credential{}.Proves("one", Credential{}.Proof("one")),
	} {
		if wrong {
			t.Errorf("%s: the proof holds", name)
		}
	}
	if p, err := New("credential", a); err != nil || p.Proof("x") != a.Proof("x") {
		t.Error("the policy's proof is not its credential's")
	}
	if (&Policy{}).Proof("x") != "" {
		t.Error("a proof without a credential")
	}
}
