package binding

import (
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	LibraryLog(slog.New(slog.DiscardHandler))
	// go-redis tries a Redis that it often could not reach once a second, and looks
	// whether its pool is closed only then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// absent skips the test, or fails it where everything has to be present.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// program is where redis-server is, or what does the same.
func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	absent(t, "neither redis-server nor valkey-server is installed")
	return ""
}
