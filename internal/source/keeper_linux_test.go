package source

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// keeper is a desk whose sign-ins are kept by the system, under a name of the
// test's own: the user's keyring is that of all processes.
type keeper struct {
	*desk
	dir, name string
	log       bytes.Buffer
}

func newKeeper(t *testing.T, edit ...func(*entratest.Options)) *keeper {
	t.Helper()
	k := &keeper{desk: newDesk(t, edit...), name: "injectproxy-test-" + rand.Text()}
	k.dir = filepath.Join(k.home, "config", "sessions")
	t.Cleanup(func() { forgetKey(k.name + ".cae") })
	k.restart()
	if _, ok := k.sessions.store(); !ok {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatalf("the system keeps no refresh tokens: %s", k.log.String())
		}
		t.Skipf("the system keeps no refresh tokens: %s", k.log.String())
	}
	return k
}

// restart forgets what a process that ends forgets.
func (k *keeper) restart() {
	k.sessions = newSessions(k.dir, k.name, slog.New(slog.NewTextHandler(&k.log, nil)))
}

// forgetKey removes a key from the keyrings that the store may have it in.
func forgetKey(description string) {
	user, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, false)
	if err != nil {
		return
	}
	rings := []int{user}
	if persistent, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, -1, user, 0, 0); err == nil {
		rings = append(rings, persistent)
	}
	for _, ring := range rings {
		if key, err := unix.KeyctlSearch(ring, "user", description, 0); err == nil {
			_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, key, ring, 0, 0) // it may have gone
		}
	}
}

// records returns the files of who signed in.
func (k *keeper) records() []string {
	k.t.Helper()
	files, err := filepath.Glob(filepath.Join(k.dir, "*"))
	if err != nil {
		k.t.Fatal(err)
	}
	return files
}

func (k *keeper) signInCount() int {
	return k.Count(entratest.Request{Endpoint: entratest.DeviceCodeEndpoint})
}

// elsewhere has another process sign in, with that home, and returns what it
// said besides the code.
func (k *keeper) elsewhere(home string) (said []string, stderr string) {
	k.t.Helper()
	ca := filepath.Join(k.t.TempDir(), "ca.pem")
	write(k.t, ca, string(k.CAPEM()))
	cmd := exec.CommandContext(guarded(k.t), os.Args[0], "sign in", k.URL(), ca, k.dir, k.name)
	cmd.Env = append(os.Environ(), actor+"=1", quick, "HOME="+home)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if shownCode.MatchString(lines.Text()) {
			k.attend(grace)(lines.Text())
			continue
		}
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		k.t.Fatal(err, errs.String())
	}
	return said, errs.String()
}
