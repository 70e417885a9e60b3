package binding

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

// tells runs commands as an operator of s does.
func (s *store) tells(t *testing.T, commands ...string) {
	t.Helper()
	raw := s.raw(t)
	for _, command := range commands {
		var words []any
		for _, w := range strings.Fields(command) {
			words = append(words, w)
		}
		if err := raw.Do(context.Background(), words...).Err(); err != nil {
			absent(t, "this Redis does not do %s: %v", command, err)
		}
	}
}

// TestRedisIsWellOnlyWhereSessionsCanBegin holds for what answers, and takes nothing:
// neither a bare answer nor that somebody is not known there is taken for more.
func TestRedisIsWellOnlyWhereSessionsCanBegin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ breaks, mends, want string }{
		"a replica":          {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY: "},
		"a full one":         {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM: "},
		"one without rights": {"ACL SETUSER default -zadd", "ACL SETUSER default +zadd", "NOPERM: "},
		"a shared one":       {"SET injectproxy:{gate.example}:probe else", "DEL injectproxy:{gate.example}:probe", "WRONGTYPE: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, nil)
			var log bytes.Buffer
			table := s.table(t, func(o *RedisOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			finds := func() {
				t.Helper()
				has(t, table, "unknown", Binding{})
			}
			if finds(); !table.Up() {
				t.Error("it is not up at first")
			}
			s.tells(t, tt.breaks)
			err := table.Ping(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || table.Up() || !strings.Contains(log.String(), tt.want) {
				t.Errorf("%v, up: %v", err, table.Up())
			}
			if finds(); table.Up() || strings.Contains(log.String(), "again") {
				t.Error("what finds nobody is taken for being well")
			}
			s.tells(t, tt.mends)
			if finds(); table.Up() {
				t.Error("up, and nothing was tried")
			}
			if err := table.Ping(t.Context()); err != nil || !table.Up() || !strings.Contains(log.String(), "again") {
				t.Errorf("%v, up: %v", err, table.Up())
			}
			if keys := s.keys(t); len(keys) != 0 {
				t.Errorf("it has left %q", keys)
			}
		})
	}
}

// TestUserMayDoNoMoreThanSessionsNeed holds for the rule that docs/gate.md names.
func TestUserMayDoNoMoreThanSessionsNeed(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	const rule = "~injectproxy:{gate.example}:* +eval +evalsha +time +get +set +del +pexpire +zadd +zrem +zcard +zrange +zremrangebyscore"
	s.tells(t, "ACL SETUSER gate on >secret "+rule)
	table := s.table(t, func(o *RedisOptions) { o.URL = strings.Replace(o.URL, "//", "//gate:secret@", 1) })
	table.most = 1
	if err := table.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := of("a", "http://u")
	for _, id := range []string{"one", "two", "two"} { // the first goes, for the second
		bind(t, table, id, a, a)
	}
	has(t, table, "two", a)
	if err := table.Forget(t.Context(), key("two")); err != nil || len(s.keys(t)) != 0 || !table.Up() {
		t.Errorf("%v, %q are left", err, s.keys(t))
	}
}
