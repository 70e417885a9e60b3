package binding

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func knows(t *testing.T, s *Memory, id string) bool {
	t.Helper()
	found, err := s.Find(t.Context(), KeyOf("header", "/mcp", id))
	if err != nil {
		t.Fatal(err)
	}
	return found[0].Known()
}

func binds(t *testing.T, s *Memory, id, object string) {
	t.Helper()
	if _, err := s.Bind(t.Context(), KeyOf("header", "/mcp", id), Binding{Owner{"tenant", object}, "http://u"}); err != nil {
		t.Fatal(err)
	}
}

func TestSessionThatIsNotUsedForADayIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		binds(t, s, "idle", "a")
		binds(t, s, "used", "a")
		time.Sleep(mostUnused)
		if !knows(t, s, "used") {
			t.Error("too early")
		}
		if time.Sleep(time.Second); s.Count() != 1 || knows(t, s, "idle") || !knows(t, s, "used") {
			t.Errorf("%d are known", s.Count())
		}
		if time.Sleep(2 * mostUnused); s.Count() != 0 || s.used.Len() != 0 || len(s.owned) != 0 {
			t.Errorf("something is left: %d", s.Count())
		}
	})
}

func TestFullTableForgetsWhatWasNotUsedForTheLongestTime(t *testing.T) {
	t.Parallel()
	s := NewMemory()
	s.most, s.mostOwned = 3, 2
	for _, id := range []string{"a", "b", "c"} {
		binds(t, s, id, id)
	}
	knows(t, s, "a")
	binds(t, s, "d", "d")
	if s.Count() != 3 || knows(t, s, "b") || !knows(t, s, "a") || !knows(t, s, "c") || !knows(t, s, "d") {
		t.Error("the wrong one was forgotten")
	}
}

// TestOneOwnerCannotHaveTheSessionsOfOthersForgotten holds for one who begins
// them in a loop.
func TestOneOwnerCannotHaveTheSessionsOfOthersForgotten(t *testing.T) {
	t.Parallel()
	s := NewMemory()
	s.most, s.mostOwned = 10, 3
	binds(t, s, "theirs", "a")
	for i := range 100 {
		binds(t, s, fmt.Sprint(i), "b")
	}
	if !knows(t, s, "theirs") || s.Count() != 4 || knows(t, s, "96") || !knows(t, s, "97") || !knows(t, s, "99") {
		t.Errorf("%d are known", s.Count())
	}
	knows(t, s, "97")
	if binds(t, s, "100", "b"); !knows(t, s, "97") || knows(t, s, "98") {
		t.Error("of its own the wrong one was forgotten")
	}
}

func TestTableKeepsNoID(t *testing.T) {
	t.Parallel()
	s := NewMemory()
	binds(t, s, "a-secret-id", "a")
	for k, e := range s.known {
		if said := fmt.Sprintf("%s %q %+v", k[:], k[:], *e); strings.Contains(said, "secret") {
			t.Error(said)
		}
	}
}

func TestSessionsOfTwoRoutesAreTwo(t *testing.T) {
	t.Parallel()
	if KeyOf("header", "/a", "id") == KeyOf("header", "/b", "id") || KeyOf("header", "/a", "id") == KeyOf("query", "/a", "id") {
		t.Error("they have one key")
	}
}

func BenchmarkFindingASession(b *testing.B) {
	s := NewMemory()
	for i := range mostSessions {
		_, _ = s.Bind(b.Context(), KeyOf("header", "/mcp", fmt.Sprint(i)), Binding{Owner{"t", fmt.Sprint(i % 1000)}, "u"})
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Find(b.Context(), KeyOf("header", "/mcp", "5f0c1b7e-5d3f-4c1b-9e5d-0123456789ab"))
		_, _ = s.Find(b.Context(), KeyOf("header", "/mcp", "77"))
	}
}

// TestSessionThatIsOverByTimeIsNobodys holds whatever is asked first.
func TestSessionThatIsOverByTimeIsNobodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		binds(t, s, "one", "a")
		binds(t, s, "two", "a")
		time.Sleep(mostUnused + time.Second)
		theirs := Binding{Owner{"tenant", "b"}, "http://u"}
		if got, err := s.Bind(t.Context(), KeyOf("header", "/mcp", "one"), theirs); got != theirs || err != nil {
			t.Errorf("it belongs to %v, %v", got, err)
		}
		s = NewMemory()
		binds(t, s, "one", "a")
		time.Sleep(mostUnused + time.Second)
		if knows(t, s, "one") {
			t.Error("it is known")
		}
	})
}

func TestSessionThatIsGivenAgainIsWhereItWasGivenLast(t *testing.T) {
	t.Parallel()
	s := NewMemory()
	binds(t, s, "one", "a")
	moved := Binding{Owner{"tenant", "a"}, "http://v"}
	if got, err := s.Bind(t.Context(), KeyOf("header", "/mcp", "one"), moved); got != moved || err != nil {
		t.Errorf("it is %v, %v", got, err)
	}
	if s.Count() != 1 || s.used.Len() != 1 || s.owned[moved.Owner].Len() != 1 {
		t.Errorf("%d are known, %d in order", s.Count(), s.used.Len())
	}
}
