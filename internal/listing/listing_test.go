package listing

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestPatternMeansWhatFits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pattern, yes, no string }{
		{"echo", "echo", "Echo|echo2|ech|"},
		{"get-*", "get-|get-sum|get-*", "Get-sum|xget-sum|get"},
		{"*", "|x|a.b/c", "-"},
		{"a*ab*b", "aabb|aabab|a-ab-b", "aab|abb"},
		{"file:///reports/*", "file:///reports/|file:///reports/a/b?c", "file:///report|FILE:///reports/a"},
		{"db://{table}/*", "db://{table}/{row}", "db://users/1"},
		{"[ab]?", "[ab]?", "ab|a?"},
	} {
		for _, name := range strings.Split(tt.yes, "|") {
			if !Match(tt.pattern, name) {
				t.Errorf("%q does not mean %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Split(tt.no, "|") {
			if Match(tt.pattern, name) && tt.no != "-" {
				t.Errorf("%q means %q", tt.pattern, name)
			}
		}
	}
}

// TestMatchingALongNameIsNoWork holds that patterns of many * take no time that
// grows with what they could match in how many ways.
func TestMatchingALongNameIsNoWork(t *testing.T) {
	t.Parallel()
	if Match(strings.Repeat("*a", 1000)+"b", strings.Repeat("a", 100_000)) {
		t.Error("matches")
	}
}

func TestPatternThatCanOnlyBeAMistakeIsNamed(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "a\nb", "a\x00", "\x7f", "a\u0085", "\xff"} {
		if Check(p) == nil {
			t.Errorf("%q is taken", p)
		}
	}
	for _, p := range []string{"*", "a b", "ä", "file:///{path}"} {
		if err := Check(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestElementsAreKnownByTheirKey(t *testing.T) {
	t.Parallel()
	hidden := []string{"file:///secret", "db://{secret}", "hidden"}
	allowed := func(name string) bool { return !slices.Contains(hidden, name) }
	for _, tt := range []struct{ member, key, in, want string }{
		{"resources", "uri", `{"resources":[{"uri":"file:///secret","name":"a"},{"name":"hidden","uri":"file:///b"}]}`, `{"resources":[{"name":"hidden","uri":"file:///b"}]}`},
		{"resourceTemplates", "uriTemplate", `{"resourceTemplates":[ {"uriTemplate":"db://{a}"} , {"uriTemplate":"db://{secret}"} ],"x":1}`, `{"resourceTemplates":[ {"uriTemplate":"db://{a}"} ],"x":1}`},
		{"prompts", "name", `{"nextCursor":"x","prompts":[{"name":"hidden","arguments":[]}]}`, `{"nextCursor":"x","prompts":[]}`},
		{"prompts", "name", `{"prompts":[{"name":"a"},{"title":"b"}]}`, ""},
		{"resources", "uri", `{"resources":[{"uri":"a","URI":"file:///secret"}]}`, ""},
		{"resourceTemplates", "uriTemplate", `{"resourceTemplates":[{"uriTemplate":"a","uritemplate":"db://{secret}"}]}`, ""},
		{"resources", "uri", `{"tools":[]}`, ""},
		{"resources", "uri", `{"resources":[],"Resources":[{"uri":"file:///secret"}]}`, ""},
	} {
		got, ok := Filter(json.RawMessage(tt.in), tt.member, tt.key, allowed)
		if ok != (tt.want != "") || string(got) != tt.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.in, got, ok, tt.want)
		}
	}
}
