package access

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamedClientIsAdmittedByItsOwnTokenOnly(t *testing.T) {
	t.Parallel()
	main, farm, other := Generate(), Generate(), Generate()
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	policy, err := New("credential", main)
	if err != nil {
		t.Fatal(err)
	}
	policy = policy.WithClients([]Client{
		{"farm", write("farm", farm.Reveal()+"\n")}, {"other", write("other", other.Reveal())},
		{"short", write("short", "x")}, {"empty", write("empty", "")}, {"missing", filepath.Join(dir, "none")},
	})
	peer := policy.Peer(end{remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, local: &net.TCPAddr{}})
	admit := func(want string, ok bool, header ...string) {
		t.Helper()
		name, err := peer.Client(header)
		if ok != (err == nil) || ok && name != want {
			t.Errorf("%q, %v; want %q, %v", name, err, want, ok)
		}
		if err != nil {
			for _, c := range []Credential{main, farm, other} {
				if strings.Contains(err.Error(), c.Reveal()) {
					t.Errorf("the reason holds a secret: %v", err)
				}
			}
		}
	}
	admit("farm", true, basic("farm", farm.Reveal()))
	admit("other", true, basic("other", other.Reveal()))
	admit("", true, basic("injectproxy", main.Reveal()))
	admit("", true, basic("", main.Reveal()))
	admit("", false, basic("farm", main.Reveal()))  // not by the credential of all
	admit("", false, basic("farm", other.Reveal())) // nor by another's
	admit("", false, basic("injectproxy", farm.Reveal()))
	admit("", false, basic("Farm", farm.Reveal()))
	admit("", false, basic("farm", farm.Reveal()), basic("farm", farm.Reveal()))
	admit("", false, basic("injectproxy", main.Reveal()), basic("farm", farm.Reveal()))
	admit("", false, basic("farm", ""))
	admit("", false, basic("short", "x"))
	admit("", false, basic("empty", ""))
	admit("", false, basic("missing", ""))
	admit("", false)

	write("farm", other.Reveal()) // rotated
	admit("farm", true, basic("farm", other.Reveal()))
	admit("", false, basic("farm", farm.Reveal()))
}

// TestNamedClientIsHeldToItsName has a client of the same user give the name of
// a client: it is not admitted as itself instead.
func TestNamedClientIsHeldToItsName(t *testing.T) {
	t.Parallel()
	policy, err := New("open", Credential{})
	if err != nil {
		t.Fatal(err)
	}
	policy = policy.WithClients([]Client{{"farm", filepath.Join(t.TempDir(), "none")}})
	peer := policy.Peer(end{})
	if _, err := peer.Client([]string{basic("farm", "x")}); err == nil {
		t.Error("admitted without the right token")
	}
	if name, err := peer.Client(nil); name != "" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}
