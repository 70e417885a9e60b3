package binding

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// tables runs f for each kind of Table, whose owners may have no more than most
// sessions; 0: what is usual.
func tables(t *testing.T, most int, f func(t *testing.T, table Table)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		m := NewMemory()
		if most > 0 {
			m.mostOwned = most
		}
		f(t, m)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		r := begin(t, nil).table(t)
		if most > 0 {
			r.most = most
		}
		f(t, r)
	})
}

func key(id string) Key { return KeyOf("header", "/mcp", id) }

func of(object, upstream string) Binding { return Binding{Owner{"tenant", object}, upstream} }

// has fails the test unless id is bound to want; the zero Binding is that it is not
// known.
func has(t *testing.T, table Table, id string, want Binding) {
	t.Helper()
	got, err := table.Find(t.Context(), key(id))
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%s is %v, %v; want %v", id, got, err, want)
	}
}

// bind binds id, and fails the test unless it is want's then.
func bind(t *testing.T, table Table, id string, b, want Binding) {
	t.Helper()
	if got, err := table.Bind(t.Context(), key(id), b); err != nil || got != want {
		t.Errorf("%s is %v, %v; want %v", id, got, err, want)
	}
}

func TestSessionIsWhoseItWasFirst(t *testing.T) {
	t.Parallel()
	tables(t, 0, func(t *testing.T, table Table) {
		a, b, moved, nobody := of("a", "http://u"), of("b", "http://u"), of("a", "http://v"), Binding{Upstream: "http://u"}
		has(t, table, "one", Binding{})
		bind(t, table, "one", a, a)
		bind(t, table, "one", b, a)
		bind(t, table, "one", nobody, a)
		has(t, table, "one", a)
		bind(t, table, "one", moved, moved)
		has(t, table, "one", moved)

		bind(t, table, "free", nobody, nobody)
		bind(t, table, "free", b, b) // who signs in first
		bind(t, table, "free", a, b)
		has(t, table, "free", b)
		has(t, table, "one", moved)
	})
}

func TestSessionThatIsForgottenIsNobodys(t *testing.T) {
	t.Parallel()
	tables(t, 0, func(t *testing.T, table Table) {
		a, b := of("a", "http://u"), of("b", "http://u")
		for _, id := range []string{"one", "two", "three"} {
			bind(t, table, id, a, a)
		}
		if err := table.Forget(t.Context(), key("one"), key("two"), key("never")); err != nil {
			t.Fatal(err)
		}
		has(t, table, "one", Binding{})
		has(t, table, "three", a)
		bind(t, table, "two", b, b)
	})
}

func TestSeveralSessionsAreFoundInTheirOrder(t *testing.T) {
	t.Parallel()
	tables(t, 0, func(t *testing.T, table Table) {
		a, b := of("a", "http://u"), of("b", "http://v")
		bind(t, table, "one", a, a)
		bind(t, table, "two", b, b)
		got, err := table.Find(t.Context(), key("two"), key("none"), key("one"), key("two"))
		if want := []Binding{b, {}, a, b}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		if got, err := table.Find(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("of none: %v, %v", got, err)
		}
		if err := table.Forget(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestOwnerWithTooManySessionsLosesTheirOldest holds that those of others stay, and
// that a session in use is not old.
func TestOwnerWithTooManySessionsLosesTheirOldest(t *testing.T) {
	t.Parallel()
	tables(t, 3, func(t *testing.T, table Table) {
		a, b, nobody := of("a", "http://u"), of("b", "http://u"), Binding{Upstream: "http://u"}
		bind(t, table, "theirs", a, a)
		bind(t, table, "free", nobody, nobody)
		for i := range 20 {
			bind(t, table, fmt.Sprint(i), b, b)
		}
		has(t, table, "16", Binding{})
		has(t, table, "17", b)
		bind(t, table, "20", b, b)
		has(t, table, "18", Binding{})
		has(t, table, "17", b)
		bind(t, table, "17", b, b) // again is no more
		bind(t, table, "free", b, b)
		has(t, table, "19", Binding{})
		for _, id := range []string{"17", "20", "free"} {
			has(t, table, id, b)
		}
		has(t, table, "theirs", a)
		if err := table.Forget(t.Context(), key("20")); err != nil {
			t.Fatal(err)
		}
		bind(t, table, "new", b, b) // there is room
		has(t, table, "17", b)
	})
}

// TestOfManyWhoBindOneSessionOneHasIt holds for two gates in front of one Redis.
func TestOfManyWhoBindOneSessionOneHasIt(t *testing.T) {
	t.Parallel()
	tables(t, 0, func(t *testing.T, table Table) {
		gates := []Table{table, table}
		if r, ok := table.(*Redis); ok {
			other, err := NewRedis(RedisOptions{URL: "redis://" + r.current().Options().Addr, Prefix: "gate.example", wait: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
			gates[1] = other
		}
		for round := range 20 {
			id := fmt.Sprint("session ", round)
			got := make([]Binding, 16)
			var all sync.WaitGroup
			for i := range got {
				all.Go(func() {
					b, err := gates[i%2].Bind(t.Context(), key(id), of(fmt.Sprint("owner-", i), "http://u"))
					if got[i] = b; err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			has(t, table, id, got[0])
			if slices.ContainsFunc(got, func(b Binding) bool { return b != got[0] }) {
				t.Fatalf("several have it: %v", got)
			}
		}
	})
}
