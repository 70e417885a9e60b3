package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// strained is a testbed whose way to the identity service is a line.
type strained struct {
	b     *testbed
	o     *origin
	a     *entratest.Authority
	line  *faultyLine
	clock *advanced
}

// newStrained returns one with rules for a, whose token comes from the identity
// service, and for another audience. It needs asTestClient.
func newStrained(t *testing.T, timeout string) *strained {
	t.Helper()
	s := &strained{a: startIdentity(t), clock: new(advanced)}
	u, err := url.Parse(s.a.URL())
	must(t, err)
	s.line = newFaultyLine(t, u.Host)
	s.o = newOrigin(t, "h2", nil, "api.example.test")
	other := "[audience.file]\ntoken_file = \"a.token\"\n" + strings.Replace(rule(s.o.url("/file")), `"a"`, `"file"`, 1)
	s.b = newTestbed(t, settings{
		entra: s.a, tables: "[token]\ntimeout = \"" + timeout + "\"\n" + entraAudiences + other + rule(s.o.url("/x")), files: tokenFiles,
	}, s.clock.on, func(_ *config.Config, around *surroundings) {
		around.dialIdentity = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == u.Host {
				addr = s.line.addr
			}
			return dialNoMetadata(ctx, network, addr)
		}
	})
	return s
}

// ask sends a request that needs the token, and returns its answer.
func (s *strained) ask(t *testing.T) reply {
	t.Helper()
	return call(t, s.b.client("h1"), "POST", s.o.url("/x"), strings.NewReader("body"))
}

// Whatever the network does on the way to the identity service, a request is
// sent with its token or not at all, and its client told; others are served.
// Once the network is well, so is the audience.
func TestFaultyWayToTheIdentityServiceFailsClosed(t *testing.T) {
	asTestClient(t)
	for _, fault := range networkFaults {
		if fault.begin == nil || fault.uploads {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			s := newStrained(t, "2s")
			fault.begin(s.line)
			r := s.ask(t)
			if fault.whole {
				r.wantStatus(t, http.StatusOK)
				if s.o.one(t).bearer() == "" {
					t.Error("sent without its token")
				}
				asked(t, s.a, apiOne, 1)
				return
			}
			if p := r.problem(t, http.StatusServiceUnavailable); p.Type != "urn:injectproxy:problem:identity-unavailable" || r.header.Get("Retry-After") == "" {
				t.Errorf("%+v, Retry-After %q", p, r.header.Get("Retry-After"))
			}
			s.o.nothing(t)
			call(t, s.b.client("h2"), "GET", s.o.url("/file"), nil).wantStatus(t, http.StatusOK)
			if seen := s.o.one(t); seen.bearer() != tokenA {
				t.Errorf("another audience got %q", seen.bearer())
			}
			if n := s.line.opened(); n > 12 {
				t.Errorf("%d connections for one request", n)
			}
			s.line.set(new(toxics.NoopToxic), towards, back)
			s.line.cut()
			s.clock.pass(time.Minute)
			s.ask(t).wantStatus(t, http.StatusOK)
			if s.o.one(t).bearer() == "" {
				t.Error("sent without its token")
			}
			if n := s.b.current.budget.Held(); n != 0 {
				t.Errorf("%d bytes of bodies are still held", n)
			}
		})
	}
}
