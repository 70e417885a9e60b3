package stdio

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// thorough skips what takes a while, unless all is wanted.
func thorough(t testing.TB) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
