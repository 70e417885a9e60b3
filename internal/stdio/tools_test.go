package stdio

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func TestPatternsSayWhichToolsMayBeSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		allow, ignore string
		yes, no       string
	}{
		{"echo", "", "echo", "Echo|echo2|ech|"},
		{"get-*", "", "get-|get-sum|get-*", "Get-sum|xget-sum|get"},
		{"*-sum", "", "-sum|get-sum|-sum-sum", "-summ|sum"},
		{"*", "", "|x|a.b/c", ""},
		{"**", "", "|x", ""},
		{"a*b*c", "", "abc|aXbYc|abcabc|abbc", "ab|ac|acb|xabc|abcx"},
		{"a*a", "", "aa|aaa|aba", "a|ab"},
		{"a*ab*b", "", "aabb|aabab|a-ab-b", "aab|abb"},
		{"*b*", "", "b|abc", "ac|"},
		{"a.c", "", "a.c", "abc"},
		{"[ab]?", "", "[ab]?", "ab|a?"},
		{"\\*", "", "\\|\\x", "*"},
		{"ä*", "", "ä|äb", "\u0061\u0308"},
		{"a b", "", "a b", "ab"},
		{"", "get-*", "echo|getter", "get-|get-sum"},
		{"get-* echo", "get-sum", "get-env|echo", "get-sum|other"},
		{"get-sum", "*", "", "get-sum|other|"},
	} {
		allowed, err := Patterns(fields(tt.allow), fields(tt.ignore))
		if err != nil {
			t.Errorf("%q, not %q: %v", tt.allow, tt.ignore, err)
			continue
		}
		for _, name := range strings.Split(tt.yes, "|") {
			if (name != "" || strings.HasPrefix(tt.yes, "|")) && !allowed(name) {
				t.Errorf("%q, not %q: %q is hidden", tt.allow, tt.ignore, name)
			}
		}
		for _, name := range strings.Split(tt.no, "|") {
			if (name != "" || strings.HasSuffix(tt.no, "|")) && allowed(name) {
				t.Errorf("%q, not %q: %q is let through", tt.allow, tt.ignore, name)
			}
		}
	}
}

// fields cuts the patterns of a test apart; one of them has a space of its own.
func fields(s string) []string {
	if s == "a b" {
		return []string{s}
	}
	return strings.Fields(s)
}

func TestPatternsRefuseWhatCanOnlyBeAMistake(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "a\nb", "a\x00", "\x7f", "a\u0085", "\xff"} {
		for _, in := range [][2][]string{{{"x", p}, nil}, {nil, {p}}} {
			if allowed, err := Patterns(in[0], in[1]); err == nil || allowed != nil {
				t.Errorf("%q is taken", p)
			}
		}
	}
	if allowed, err := Patterns(nil, []string{}); err != nil || allowed != nil {
		t.Errorf("no pattern is not all: %v", err)
	}
}

func TestPatternsAreNotThoseOfTheCallerAnyMore(t *testing.T) {
	t.Parallel()
	allow := []string{"echo"}
	allowed, err := Patterns(allow, nil)
	if allow[0] = "*"; err != nil || allowed("other") || !allowed("echo") {
		t.Errorf("a later change of the slice counts: %v", err)
	}
	ignore := []string{"echo"}
	allowed, err = Patterns(nil, ignore)
	if ignore[0] = "other"; err != nil || allowed("echo") || !allowed("other") {
		t.Errorf("a later change of what is ignored counts: %v", err)
	}
}

func TestHiddenToolsAreTakenOutAndNoOtherByte(t *testing.T) {
	t.Parallel()
	const a, b, c = `{"name":"a","inputSchema":{"type":"object","name":"x","x":1e3}}`, `{ "title":"\u0062", "name" : "b" }`, `{"n\u0061me":"\u0063","x":[{"name":"hidden"}]}`
	for _, tt := range []struct{ in, hide, want string }{
		{`{"tools":[` + a + `,` + b + `,` + c + `],"nextCursor":"x"}`, "", `{"tools":[` + a + `,` + b + `,` + c + `],"nextCursor":"x"}`},
		{`{"tools":[` + a + `,` + b + `,` + c + `],"nextCursor":"x"}`, "a", `{"tools":[` + b + `,` + c + `],"nextCursor":"x"}`},
		{`{"tools":[` + a + `,` + b + `,` + c + `],"nextCursor":"x"}`, "b", `{"tools":[` + a + `,` + c + `],"nextCursor":"x"}`},
		{`{"tools":[` + a + `,` + b + `,` + c + `],"nextCursor":"x"}`, "c", `{"tools":[` + a + `,` + b + `],"nextCursor":"x"}`},
		{`{"tools":[` + a + `,` + b + `,` + c + `]}`, "a c", `{"tools":[` + b + `]}`},
		{`{"tools":[` + a + `,` + b + `,` + c + `]}`, "a b c", `{"tools":[]}`},
		{" {\n \"_meta\" : {\"tools\":[{\"name\":\"a\"}]},\n \"tools\" : [\n " + a + " ,\n  " + b + "\n ] }\n", "a", " {\n \"_meta\" : {\"tools\":[{\"name\":\"a\"}]},\n \"tools\" : [\n " + b + "\n ] }\n"},
		{"{\"tools\":[\n " + a + " ,\n  " + b + "\n ]}", "b", "{\"tools\":[\n " + a + "\n ]}"},
		{"{\"tools\":[\n " + a + " ,\n  " + b + "\n ]}", "a b", "{\"tools\":[\n \n ]}"},
		{`{"t\u006fols":[` + a + `,` + b + `]}`, "b", `{"t\u006fols":[` + a + `]}`},
		{`{"tools":[]}`, "a", `{"tools":[]}`},
		{`{"tools":[ ], "x":1}`, "a", `{"tools":[ ], "x":1}`},
		{`{"tools":[{"name":"a"},{"name":"a"}]}`, "a", `{"tools":[]}`},
		{`{"tools":[{"name":""},{"name":"A"}]}`, "a", `{"tools":[{"name":""},{"name":"A"}]}`},
	} {
		before := strings.Clone(tt.in)
		got, ok := filterTools(json.RawMessage(tt.in), hiding(tt.hide))
		if !ok || string(got) != tt.want {
			t.Errorf("without %s:\n got %s\nwant %s", tt.hide, got, tt.want)
		}
		if tt.in != before {
			t.Errorf("the input has changed: %s", tt.in)
		}
	}
}

func hiding(names string) func(string) bool {
	hidden := strings.Fields(names)
	return func(name string) bool { return !slices.Contains(hidden, name) }
}

func TestListThatReadersReadDifferentlyIsRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{}`, `{"nextCursor":"x"}`, `{"Tools":[]}`, `{"tools":null}`, `{"tools":{}}`, `{"tools":"x"}`,
		`{"tools":[],"tools":[{"name":"hidden"}]}`, `{"tools":[],"t\u006fols":[{"name":"hidden"}]}`,
		`{"tools":[],"Tools":[{"name":"hidden"}]}`, `{"tools":[],"tool\u017f":[{"name":"hidden"}]}`,
		`{"tools":[{"name":"a","Name":"hidden"}]}`, `{"tools":[{"Name":"a"}]}`, `{"tools":[{"NAME":"hidden","name":"a"}]}`,
		`{"tools":[{"name":"a","name":"hidden"}]}`, `{"tools":[{"name":"hidden","\u006eame":"a"}]}`, `{"tools":[{"name":"a"},{}]}`,
		`{"tools":[{"name":"hidden"},{"name":null}]}`, `{"tools":[{"name":["a"]}]}`, `{"tools":[[{"name":"a"}]]}`, `{"tools":[null]}`, `{"tools":["a"]}`,
		"{\"tools\":[{\"name\":\"a\xff\"}]}", `{"tools":[]} {}`, "\xef\xbb\xbf" + `{"tools":[]}`,
	} {
		if got, ok := filterTools(json.RawMessage(in), hiding("hidden")); ok || got != nil {
			t.Errorf("%s: let through: %s", in, got)
		}
	}
}

func TestLastMemberOfANameIsTheOneThatIsFound(t *testing.T) {
	t.Parallel()
	object := `{"a":1,"b":{"a":2},"a": [3] }`
	at := memberAt([]byte(object), "a")
	want(t, "a", object[at.from:at.to], "[3]")
	want(t, "none", memberAt([]byte(object), "c"), span{})
}

func TestNameOfACallIsWhatEveryReaderFinds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"name":"a"}`: "a", `{"arguments":{"name":"b","Name":"c"},"n\u0061me":"\u0061"}`: "a", `{"name":""}`: "",
		`{"name":"a","Name":"b"}`: "-", `{"name":"a","NAME":"a"}`: "-", `{"name":"a","name":"a"}`: "-", `{"name":"a","n\u0061me":"b"}`: "-",
		`{"Name":"a"}`: "-", `{}`: "-", ``: "-", `null`: "-", `["a"]`: "-", `{"name":1}`: "-", `{"name":null}`: "-", `{"name":{"name":"a"}}`: "-",
	} {
		if name, ok := toolName(json.RawMessage(in)); ok != (want != "-") || ok && name != want {
			t.Errorf("%s: %q, %v", in, name, ok)
		}
	}
}

// FuzzFilterTools holds that what remains of a list is a part of it in its
// order, and that no reader finds a hidden name in it: not one that takes the
// last of two members, nor one that folds case.
func FuzzFilterTools(f *testing.F) {
	for _, in := range []string{
		`{"tools":[{"name":"a"},{"name":"hidden"},{"name":"b"}],"nextCursor":"x"}`,
		`{"tools":[{"name":"hidden"}]}`, `{"tools":[{"name":"a","Name":"hidden"}]}`, `{"tools":[{"name":"hidden","\u006eame":"a"}]}`,
		` { "tools" : [ {"name":"a"} , {"name":"hidden"} ] } `, `{"tools":[],"TOOLS":[{"name":"hidden"}]}`, `{"tools":[{"name":"hid\u0064en"},{"name":"c"}]}`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if all, ok := filterTools(in, hiding("")); ok && string(all) != string(in) {
			t.Fatalf("nothing is hidden, and %q became %q", in, all)
		}
		out, ok := filterTools(in, hiding("hidden"))
		if !ok {
			return
		}
		var before, after, folded struct {
			Tools []json.RawMessage `json:"tools"`
		}
		if json.Unmarshal(in, &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("not a list of tools: %q", out)
		}
		rest := before.Tools
		for _, tool := range after.Tools {
			i := slices.IndexFunc(rest, func(r json.RawMessage) bool { return string(r) == string(tool) })
			if i < 0 {
				t.Fatalf("%q of %q was not there, or not in this place", tool, out)
			}
			rest = rest[i+1:]
		}
		for _, tool := range after.Tools {
			var lax struct{ Name string }    // folds case, takes the last
			var exact map[string]any         // takes the last
			_ = json.Unmarshal(tool, &lax)   // what it cannot read has no name
			_ = json.Unmarshal(tool, &exact) // likewise
			if lax.Name == "hidden" || exact["name"] == "hidden" {
				t.Fatalf("%q is still in %q", tool, out)
			}
		}
		if members, err := jsonrpc.Object(out); err != nil || json.Unmarshal(out, &folded) != nil || len(folded.Tools) != len(after.Tools) {
			t.Fatalf("%q: %v", members, err)
		}
		if again, ok := filterTools(out, hiding("hidden")); !ok || string(again) != string(out) {
			t.Fatalf("a second time: %q, first %q", again, out)
		}
	})
}
