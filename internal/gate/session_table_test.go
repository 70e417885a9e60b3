package gate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func knows(t *testing.T, s *sessions, id string) bool {
	t.Helper()
	_, ok, err := s.find(t.Context(), keyOf(byHeader, "/mcp", id))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func binds(t *testing.T, s *sessions, id, object string) {
	t.Helper()
	if _, err := s.bind(t.Context(), keyOf(byHeader, "/mcp", id), tenure{owner{"tenant", object}, "http://u"}); err != nil {
		t.Fatal(err)
	}
}

func TestSessionThatIsNotUsedForADayIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		binds(t, s, "idle", "a")
		binds(t, s, "used", "a")
		time.Sleep(mostUnused)
		if !knows(t, s, "used") {
			t.Error("too early")
		}
		if time.Sleep(time.Second); s.count() != 1 || knows(t, s, "idle") || !knows(t, s, "used") {
			t.Errorf("%d are known", s.count())
		}
		if time.Sleep(2 * mostUnused); s.count() != 0 || s.used.Len() != 0 || len(s.owned) != 0 {
			t.Errorf("something is left: %d", s.count())
		}
	})
}

func TestFullTableForgetsWhatWasNotUsedForTheLongestTime(t *testing.T) {
	t.Parallel()
	s := newSessions()
	s.most, s.mostOwned = 3, 2
	for _, id := range []string{"a", "b", "c"} {
		binds(t, s, id, id)
	}
	knows(t, s, "a")
	binds(t, s, "d", "d")
	if s.count() != 3 || knows(t, s, "b") || !knows(t, s, "a") || !knows(t, s, "c") || !knows(t, s, "d") {
		t.Error("the wrong one was forgotten")
	}
}

// TestOneOwnerCannotHaveTheSessionsOfOthersForgotten holds for one who begins
// them in a loop.
func TestOneOwnerCannotHaveTheSessionsOfOthersForgotten(t *testing.T) {
	t.Parallel()
	s := newSessions()
	s.most, s.mostOwned = 10, 3
	binds(t, s, "theirs", "a")
	for i := range 100 {
		binds(t, s, fmt.Sprint(i), "b")
	}
	if !knows(t, s, "theirs") || s.count() != 4 || knows(t, s, "96") || !knows(t, s, "97") || !knows(t, s, "99") {
		t.Errorf("%d are known", s.count())
	}
	knows(t, s, "97")
	if binds(t, s, "100", "b"); !knows(t, s, "97") || knows(t, s, "98") {
		t.Error("of its own the wrong one was forgotten")
	}
}

func TestTableKeepsNoID(t *testing.T) {
	t.Parallel()
	s := newSessions()
	binds(t, s, "a-secret-id", "a")
	for k, e := range s.known {
		if said := fmt.Sprintf("%s %q %+v", k[:], k[:], *e); strings.Contains(said, "secret") {
			t.Error(said)
		}
	}
}

func TestSessionsOfTwoRoutesAreTwo(t *testing.T) {
	t.Parallel()
	if keyOf(byHeader, "/a", "id") == keyOf(byHeader, "/b", "id") || keyOf(byHeader, "/a", "id") == keyOf(byQuery, "/a", "id") {
		t.Error("they have one key")
	}
}

func BenchmarkFindingASession(b *testing.B) {
	s := newSessions()
	for i := range mostSessions {
		_, _ = s.bind(b.Context(), keyOf(byHeader, "/mcp", fmt.Sprint(i)), tenure{owner{"t", fmt.Sprint(i % 1000)}, "u"})
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = s.find(b.Context(), keyOf(byHeader, "/mcp", "5f0c1b7e-5d3f-4c1b-9e5d-0123456789ab"))
		_, _, _ = s.find(b.Context(), keyOf(byHeader, "/mcp", "77"))
	}
}

// TestSessionThatIsOverByTimeIsNobodys holds whatever is asked first.
func TestSessionThatIsOverByTimeIsNobodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		binds(t, s, "one", "a")
		binds(t, s, "two", "a")
		time.Sleep(mostUnused + time.Second)
		theirs := tenure{owner{"tenant", "b"}, "http://u"}
		if got, err := s.bind(t.Context(), keyOf(byHeader, "/mcp", "one"), theirs); got != theirs || err != nil {
			t.Errorf("it belongs to %v, %v", got, err)
		}
		s = newSessions()
		binds(t, s, "one", "a")
		time.Sleep(mostUnused + time.Second)
		if knows(t, s, "one") {
			t.Error("it is known")
		}
	})
}

func TestSessionThatIsGivenAgainIsWhereItWasGivenLast(t *testing.T) {
	t.Parallel()
	s := newSessions()
	binds(t, s, "one", "a")
	moved := tenure{owner{"tenant", "a"}, "http://v"}
	if got, err := s.bind(t.Context(), keyOf(byHeader, "/mcp", "one"), moved); got != moved || err != nil {
		t.Errorf("it is %v, %v", got, err)
	}
	if s.count() != 1 || s.used.Len() != 1 || s.owned[moved.owner].Len() != 1 {
		t.Errorf("%d are known, %d in order", s.count(), s.used.Len())
	}
}
