package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestPositionsOfEveryFormOfKey(t *testing.T) {
	t.Parallel()
	r := &report{}
	d := decode(r, "f", []byte("\ufefflisten = 'x'\r\n  a.b.\"c d\" = 1\r\n"+`[t]
k = { in = { line = [
  1,
	{ deep = 2 }, # comment
] } }
[[r]]
x = 1
[[r]]
x = 2
[r.sub]
y = """
multi
line"""
z = 3
[[r.more]]
w = 1
[[r.more]]
w = 2
`))
	if d == nil {
		t.Fatal(lines(r.problems))
	}
	for _, tt := range []struct {
		path string
		want string
	}{
		{"listen", "1:1"},
		{"a/b/c d", "2:7"},
		{"a", "2:3"},
		{"t", "3:2"},
		{"t/k/in/line", "4:14"},
		{"t/k/in/line/0", "5:3"},
		{"t/k/in/line/1/deep", "6:4"},
		{"r/0", "8:3"},
		{"r/1/x", "11:1"},
		{"r/1/sub/z", "16:1"},
		{"r/1/more/1/w", "20:1"},
		{"r/1/more/1/absent", "19:5"},
		{"absent", "1:1"},
	} {
		at := d.pos.of(strings.Split(tt.path, "/")...)
		if got := fmt.Sprintf("%d:%d", at.Line, at.Column); got != tt.want {
			t.Errorf("%s stands at %s, want %s", tt.path, got, tt.want)
		}
	}
}

// A file that is not trusted must not be able to exhaust the process: the
// decoder's memory grows with the square of the depth, without a limit.
func TestDeepNestingIsRefusedBeforeItIsDecoded(t *testing.T) { // not parallel: it measures what is allocated
	for name, text := range map[string]string{
		"arrays":        "a = " + strings.Repeat("[", maxFile-10),
		"closed arrays": "a = " + strings.Repeat("[", maxFile/2-5) + strings.Repeat("]", maxFile/2-5),
		"some arrays":   "a = " + strings.Repeat("[", 40) + strings.Repeat("]", 40),
		"inline tables": "a = " + strings.Repeat("{a=", maxFile/3-5),
		"dotted key":    strings.Repeat("a.", maxFile/2-5) + "a = 1",
		"dotted header": "[" + strings.Repeat("a.", maxFile/2-5) + "a]",
		"some tables":   "a = " + strings.Repeat("{a=", 40) + "1" + strings.Repeat("}", 40),
		"below a break": "oops\na = " + strings.Repeat("{a=", maxFile/3-5),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, problems := load(t, map[string]string{"config.toml": text})
		runtime.ReadMemStats(&after)
		if c != nil || len(problems) != 1 || problems[0].Line != 1 {
			t.Errorf("%s: %v", name, lines(problems))
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
			t.Errorf("%s: allocated %d MiB", name, used>>20)
		}
	}
}

// Nor may it flood the log.
func TestProblemsOfATeamFileAreLimited(t *testing.T) {
	t.Parallel()
	var keys, rules, same strings.Builder
	for i := range 8000 {
		fmt.Fprintf(&keys, "key%d = 1\n", i)
		fmt.Fprintf(&rules, "[[rule]]\nmethods=['M%d']\n", i)
		fmt.Fprintf(&same, "[[rule]]\nprefix='https://alpha.example'\naudience='gateway'\nmethods=['M%d', 'SAME']\n", i)
	}
	for name, text := range map[string]string{"keys": keys.String(), "rules": rules.String(), "same prefix": same.String()} {
		_, problems := load(t, map[string]string{"config.toml": granting, "rules.d/x.toml": "team = \"alpha\"\n" + text})
		last := problems[len(problems)-1]
		if len(problems) != maxTeamProblems+1 || !strings.Contains(last.Message, "more problems") {
			t.Errorf("%s: %d problems, the last is: %s", name, len(problems), last)
		}
	}
}
