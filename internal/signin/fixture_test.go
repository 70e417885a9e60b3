package signin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary stands for what no error and no log may show.
const canary = "canary-8f2b"

// scene is a Controller with what it did to the world. Its fields but the
// Controller are read and written under mu, or while nothing runs.
type scene struct {
	*Controller
	mu      sync.Mutex
	opened  []string // commands of the sign-ins that were begun
	open    int      // sign-ins under way
	most    int      // that were at the same time
	notices []string
	done    []string
	log     strings.Builder
	work    time.Duration // a sign-in takes
	settle  time.Duration // the caches take to learn of it
	result  func(Attempt) error
}

// inBubble runs f with a Controller in a bubble of time of its own.
func inBubble(t *testing.T, o Options, f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{work: time.Minute}
		if o.Notify == nil {
			o.Notify = func(title, message string) { s.note(&s.notices, title+": "+message) }
		}
		if o.Now == nil { // wherever the tests run, it is midnight
			o.Now = func() time.Time { return time.Now().UTC() }
		}
		o.Done = func(tenant string) { time.Sleep(s.settle); s.note(&s.done, tenant) }
		o.Log = slog.New(slog.NewTextHandler(locked{s}, nil))
		s.Controller = New(o)
		defer s.Close()
		f(t, s)
	})
}

func (s *scene) note(list *[]string, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, what)
}

// locked writes to the scene's log.
type locked struct{ *scene }

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (s *scene) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// need is an Attempt of audience, whose sign-in takes s.work and ends with
// s.result, or by its context.
func (s *scene) need(tenant, audience, command string) Attempt {
	a := Attempt{Tenant: tenant, Audience: audience, Command: command}
	a.Run = func(ctx context.Context, _ func(string)) error {
		s.mu.Lock()
		s.opened = append(s.opened, command)
		s.open++
		s.most = max(s.most, s.open)
		work, result := s.work, s.result
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.open--
			s.mu.Unlock()
		}()
		select {
		case <-time.After(work):
		case <-ctx.Done():
			return ctx.Err()
		}
		if result == nil {
			return nil
		}
		return result(a)
	}
	return a
}

// gateway is the Attempt of most tests.
func (s *scene) gateway() Attempt { return s.need("T1", "gateway", "az login --tenant T1 --scope S") }

func (s *scene) fails(err error) { s.result = func(Attempt) error { return err } }

var (
	declined      = &token.Error{Class: token.Declined, Source: "az", Code: "AADSTS65004", Message: "consent was declined"}
	misconfigured = &token.Error{Class: token.Misconfigured, Source: "az", Code: "AADSTS500011", Message: "the tenant does not know this API", Hint: "check the audience"}
)

func (s *scene) wantOpened(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) != n {
		t.Errorf("%d sign-ins were opened (%q), want %d", len(s.opened), s.opened, n)
	}
}

func (s *scene) wantNotices(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.notices, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("notifications:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// wantError fails unless err is an [*token.Error] of class with text.
func wantError(t *testing.T, err error, class token.Class, text, hint string) *token.Error {
	t.Helper()
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Class != class || e.Error() != text || e.Hint != hint {
		t.Fatalf("got %v (%#v), want class %v, %q, hint %q", err, e, class, text, hint)
	}
	return e
}

// atOnce fails unless f takes no time at all.
func atOnce(t *testing.T, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d != 0 {
		t.Errorf("it took %v", d)
	}
}
