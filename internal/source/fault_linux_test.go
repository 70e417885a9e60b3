package source

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// A sign-in that cannot be written down is good for as long as the process
// lasts, leaves no half of a file, and is written down the next time.
func TestSignInOnAFullDiskIsGoodForThisProcess(t *testing.T) {
	k := newKeeper(t)
	disk := filepath.Dir(k.dir)
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skipf("mounting takes root: %v", err)
	}
	defer syscall.Unmount(disk, syscall.MNT_DETACH)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	p := k.signedIn(Entra{ClientID: api, Tenant: tenant})
	k.wantToken(p, token.Ask{}, api)
	if log := k.log.String(); !strings.Contains(log, "the sign-in ends with this process") || !strings.Contains(log, "no space left on device") {
		t.Errorf("logged: %s", log)
	}
	if left, _ := filepath.Glob(filepath.Join(k.dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if left, _ := filepath.Glob(filepath.Join(k.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.signedIn(Entra{ClientID: api, Tenant: tenant})
	k.restart()
	k.wantToken(k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}), token.Ask{}, api)
}
