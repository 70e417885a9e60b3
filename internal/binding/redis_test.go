package binding

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGatesOfOnePrefixShareTheirSessions(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	one, two := s.table(t), s.table(t)
	other := s.table(t, func(o *RedisOptions) { o.Prefix = "other.example" })
	a := of("a", "http://u")
	bind(t, one, "id", a, a)
	has(t, two, "id", a)
	has(t, other, "id", Binding{})
	bind(t, two, "id", of("b", "http://u"), a)
	if one.Close(); two.Forget(t.Context(), key("id")) != nil {
		t.Error("the end of one is the end of another")
	}
	has(t, s.table(t), "id", Binding{})
	if !two.Shared() || NewMemory().Shared() {
		t.Error("what is shared does not say so")
	}
}

// TestSessionInRedisLivesADayFromItsLastUse holds for all that is written, so that
// nothing stays for ever.
func TestSessionInRedisLivesADayFromItsLastUse(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table, raw := s.table(t), s.raw(t)
	lives := func(when string) {
		t.Helper()
		keys := s.keys(t)
		if len(keys) != 2 {
			t.Fatalf("%s: %q", when, keys)
		}
		for _, k := range keys {
			if left := raw.PTTL(t.Context(), k).Val(); left <= mostUnused-time.Hour || left > mostUnused {
				t.Errorf("%s: %s lives for %s", when, k, left)
			}
			raw.PExpire(t.Context(), k, time.Hour)
		}
	}
	a := of("a", "http://u")
	bind(t, table, "id", a, a)
	lives("begun")
	has(t, table, "id", a)
	lives("used")
	bind(t, table, "id", of("b", "http://u"), a)
	for _, k := range s.keys(t) {
		if left := raw.PTTL(t.Context(), k).Val(); left > time.Hour {
			t.Errorf("%s lives longer by what another tried", k)
		}
	}
	bind(t, table, "id", a, a)
	lives("bound again")
}

// TestRedisKeepsNothingOfWhatIsForgotten holds for what stands beside the sessions,
// too.
func TestRedisKeepsNothingOfWhatIsForgotten(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table := s.table(t)
	a, nobody := of("a", "http://u"), Binding{Upstream: "http://u"}
	bind(t, table, "a-secret-id", nobody, nobody)
	bind(t, table, "a-secret-id", a, a)
	keys := s.keys(t)
	if len(keys) != 2 || strings.Contains(strings.Join(keys, " "), "secret") {
		t.Errorf("%q", keys)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "injectproxy:{gate.example}:") {
			t.Errorf("%s is not where all of ours is", k)
		}
	}
	if err := table.Forget(t.Context(), key("a-secret-id")); err != nil || len(s.keys(t)) != 0 {
		t.Errorf("%v, %q are left", err, s.keys(t))
	}
}

// TestSessionsThatWereUnusedForADayAreNotCounted holds where others of the owner's
// are in use.
func TestSessionsThatWereUnusedForADayAreNotCounted(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table, raw := s.table(t), s.raw(t)
	a := of("a", "http://u")
	for _, id := range []string{"one", "two", "three"} {
		bind(t, table, id, a, a)
	}
	set := table.owners() + a.Owner.name()
	for _, id := range []string{"one", "two"} { // as if they had not been used since
		name := table.names([]Key{key(id)})[0]
		raw.ZIncrBy(t.Context(), set, -float64(mostUnused.Microseconds()), name)
		raw.Del(t.Context(), name)
	}
	bind(t, table, "four", a, a)
	if n := raw.ZCard(t.Context(), set).Val(); n != 2 {
		t.Errorf("%d are counted", n)
	}
}

func TestOneQuestionIsOneScript(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table, raw := s.table(t), s.raw(t)
	a := of("a", "http://u")
	bind(t, table, "one", a, a)
	has(t, table, "one", a)
	raw.ConfigResetStat(t.Context())
	if _, err := table.Find(t.Context(), key("one"), key("two"), key("three")); err != nil {
		t.Fatal(err)
	}
	bind(t, table, "two", a, a)
	stats := raw.Info(t.Context(), "commandstats").Val()
	if !strings.Contains(stats, "cmdstat_evalsha:calls=2,") || strings.Contains(stats, "cmdstat_eval:") {
		t.Error(stats)
	}
	raw.ScriptFlush(t.Context())
	has(t, table, "one", a)
}

// TestWhatOthersWroteIsNobodysSession holds that it is neither taken for unknown nor
// written over, and that other sessions are found as before.
func TestWhatOthersWroteIsNobodysSession(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table, raw := s.table(t), s.raw(t)
	table.pulse.pause = time.Hour
	a := of("a", "http://u")
	bind(t, table, "good", a, a)
	name := table.names([]Key{key("bad")})[0]
	for _, value := range []string{"", "x", "2\nt\na\nhttp://u", "1\nt\na\n", "1\nt\na", "1\nt\na\nhttp://u\n", "1\nt\na\nhttp://u ", "1\nt\na\nhttp://\x00"} {
		raw.Set(t.Context(), name, value, 0)
		if got, err := table.Find(t.Context(), key("good"), key("bad")); err == nil {
			t.Errorf("%q is found as %v", value, got)
		}
		if got, err := table.Bind(t.Context(), key("bad"), of("b", "http://u")); err == nil && got.Owner == of("b", "").Owner {
			t.Errorf("%q is bound: %v", value, got)
		}
		if now := raw.Get(t.Context(), name).Val(); now != value {
			t.Errorf("%q became %q", value, now)
		}
	}
	raw.Del(t.Context(), name)
	raw.LPush(t.Context(), name, "a list")
	if _, err := table.Find(t.Context(), key("bad")); err == nil {
		t.Error("a list is found")
	}
	has(t, table, "good", a)
}

func TestBindingThatCouldNotBeReadAgainIsNotWritten(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table := s.table(t)
	for _, b := range []Binding{{}, of("a", ""), of("a\nb", "http://u"), of("a", "http://u\n"), of("ä", "http://u"), of("a", strings.Repeat("x", mostValue))} {
		if got, err := table.Bind(t.Context(), key("id"), b); err == nil {
			t.Errorf("%v was bound: %v", b, got)
		}
	}
	if keys := s.keys(t); len(keys) != 0 {
		t.Errorf("%q", keys)
	}
}

func TestRedisThatComesBackIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := begin(t, nil, "--appendonly", "yes", "--appendfsync", "always")
	table := s.table(t)
	a := of("a", "http://u")
	bind(t, table, "id", a, a)
	if !table.Up() || table.Failures() != 0 || table.Ping(t.Context()) != nil {
		t.Error("it answers, and is said not to")
	}
	s.kill()
	for range 10 {
		if got, err := table.Find(t.Context(), key("id")); err == nil || errors.Is(err, errForeign) {
			t.Fatalf("nobody is there, and says %v", got)
		}
	}
	if _, err := table.Bind(t.Context(), key("id"), of("b", "http://u")); err == nil || errors.Is(err, errForeign) || table.Forget(t.Context(), key("id")) == nil {
		t.Errorf("nobody is there to write: %v", err)
	}
	if found, err := table.Find(t.Context()); err != nil || len(found) != 0 || table.Forget(t.Context()) != nil {
		t.Errorf("who asks for nothing: %v, %v", found, err)
	}
	if table.Up() || table.Failures() != 12 || table.Ping(t.Context()) == nil {
		t.Errorf("%d failures", table.Failures())
	}
	s.run(t)
	answers(t, table)
	has(t, table, "id", a) // it was kept
	s.raw(t).FlushAll(t.Context())
	has(t, table, "id", Binding{})
}

// answers waits until the Redis of table does.
func answers(t *testing.T, table *Redis) {
	t.Helper()
	for {
		err := table.Ping(t.Context())
		if err == nil && table.Up() {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestRedisThatHangsHoldsNobodyForLong holds for who asks after it was found out,
// too: one after the other they would take an hour.
func TestRedisThatHangsHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	table, patient := s.table(t, func(o *RedisOptions) { o.wait = 100 * time.Millisecond }), s.table(t)
	table.pulse.pause = time.Hour
	a := of("a", "http://u")
	bind(t, patient, "id", a, a)
	s.hang(t)
	for range 2000 {
		if got, err := table.Find(t.Context(), key("id")); err == nil {
			t.Fatalf("it hangs, and says %v", got)
		}
	}
	s.goOn(t)
	table.pulse.mu.Lock()
	table.pulse.next, table.pulse.pause = time.Now(), 0
	table.pulse.mu.Unlock()
	answers(t, table)
	has(t, patient, "id", a)
}

func TestWhoLeavesSaysNothingOfRedis(t *testing.T) {
	t.Parallel()
	table := begin(t, nil).table(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := table.Find(ctx, key("id")); err == nil || !table.Up() || table.Failures() != 0 {
		t.Errorf("%v, up: %v", err, table.Up())
	}
}

func TestPasswordOfRedisIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	const right, wrong = "canary-right", "canary-wrong"
	s := begin(t, nil, "--requirepass", right)
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	table := s.table(t, func(o *RedisOptions) { o.PasswordFile = file })
	fails := func(when string) {
		t.Helper()
		err := table.Ping(t.Context())
		if err == nil || strings.Contains(err.Error(), "canary") || table.Up() {
			t.Errorf("%s: %v", when, err)
		}
	}
	fails("there is no file")
	if err := table.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "its password cannot be read") {
		t.Errorf("there is no file: %v", err)
	}
	write(wrong)
	fails("it is wrong")
	write(right + "\r\n")
	if err := table.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	a := of("a", "http://u")
	bind(t, table, "id", a, a)

	inURL := func(userinfo string) *Redis {
		return s.table(t, func(o *RedisOptions) { o.URL = strings.Replace(o.URL, "//", "//"+userinfo+"@", 1) })
	}
	has(t, inURL(":"+right), "id", a)
	has(t, inURL("default:"+right), "id", a)
	if table = s.table(t); table.Ping(t.Context()) == nil {
		t.Error("it asks for none")
	}
	table = inURL(":" + wrong)
	fails("the one of the URL is wrong")
	table = inURL("nobody:" + right)
	fails("there is no such user")
}

func TestClosedRedisAnswersNobody(t *testing.T) {
	t.Parallel()
	table := begin(t, nil).table(t)
	a := of("a", "http://u")
	bind(t, table, "id", a, a)
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if got, err := table.Find(t.Context(), key("id")); err == nil {
		t.Errorf("%v", got)
	}
}

func TestDatabaseOfTheURLIsUsed(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	seven := s.table(t, func(o *RedisOptions) { o.URL += "/7" })
	a := of("a", "http://u")
	bind(t, seven, "id", a, a)
	has(t, s.table(t), "id", Binding{})
	has(t, s.table(t, func(o *RedisOptions) { o.URL += "/7" }), "id", a)
}
