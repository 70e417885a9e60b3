package main

import (
	"strings"
	"testing"
)

func TestStoreThatIsNotKnownIsAMistakeOnTheCommandLine(t *testing.T) {
	madeCA(t)
	for _, command := range []string{"install", "uninstall"} {
		status, stdout, stderr := invoke("ca", command, "--store", "system,keyring")
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, `system, nss, java, not "keyring"`) {
			t.Errorf("%s exits %d: %s%s", command, status, stdout, stderr)
		}
	}
}

func TestWithoutACAThereIsNothingToInstall(t *testing.T) {
	t.Setenv("INJECTPROXY_HOME", t.TempDir())
	for _, command := range []string{"install", "uninstall"} {
		status, stdout, stderr := invoke("ca", command, "--dry-run")
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "there is no CA yet\nhint: ") {
			t.Errorf("%s exits %d: %s%s", command, status, stdout, stderr)
		}
	}
}
