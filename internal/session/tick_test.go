package session

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/replay"
)

func TestTickPingsOnlyWhereThatIsConfigured(t *testing.T) {
	t.Parallel()
	for _, ping := range []bool{false, true} {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		rt := New(srv, Options{Book: book, Ping: ping, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)}).(*transport)
		_, id := exchangeOf(t, rt, "", aBeginning)
		req, _ := http.NewRequest("GET", "https://mcp.test/mcp", nil)
		x := &exchange{t: rt, s: book.find(key{"", "mcp.test/mcp", id}), req: req}
		srv.live = ""
		x.tick()
		if pinged := srv.calls > 0; pinged != ping {
			t.Errorf("%d pings", srv.calls)
		}
		if healed := srv.initializes == 2; healed != ping {
			t.Errorf("%d initialize", srv.initializes)
		}
	}
}

func TestCopyIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		declared int64
		read     int
		whole    bool
	}{
		"declared, read":               {100, 100, true},
		"declared, in part":            {100, 99, false},
		"undeclared, without its end":  {-1, 100, false},
		"undeclared, with its end":     {-1, 101, true},
		"undeclared length of nothing": {0, 100, false},
	} {
		c := &copied{src: io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), declared: tt.declared}
		io.CopyN(io.Discard, c, int64(tt.read))
		if got := c.whole(); (got != nil) != tt.whole || tt.whole && len(got) != 100 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		if c.whole() != nil {
			t.Errorf("%s: it is kept", name)
		}
	}
}
