package stdio

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// modernCall is a tools/call of 2026-07-28.
func modernCall(id, name, arguments string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":` + name + `,"arguments":` + arguments + `,"_meta":` + modernMeta + `}}`
}

const modernMeta = `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

func TestHeaderRepeatsTheBodyAndNothingBreaksOutOfIt(t *testing.T) {
	t.Parallel()
	b64 := func(s string) string { return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?=" }
	long := strings.Repeat("n", 10<<10)
	for name, tt := range map[string]struct{ value, want string }{ // value is JSON
		"plain":            {`"get_weather"`, "get_weather"},
		"inner space":      {`"get weather"`, "get weather"},
		"newline":          {`"a\nMcp-Session-Id: x"`, b64("a\nMcp-Session-Id: x")},
		"CR LF":            {`"a\r\n\r\nGET / HTTP/1.1"`, b64("a\r\n\r\nGET / HTTP/1.1")},
		"NUL":              {`"a\u0000b"`, b64("a\x00b")},
		"tab":              {`"a\tb"`, b64("a\tb")},
		"DEL":              {`"a\u007f"`, b64("a\x7f")},
		"not ASCII":        {`"größe, 世界"`, b64("größe, 世界")},
		"spaces around":    {`" padded "`, b64(" padded ")},
		"looks encoded":    {`"=?base64?x?="`, b64("=?base64?x?=")},
		"half encoded":     {`"=?base64?x"`, "=?base64?x"},
		"empty":            {`""`, b64("")},
		"10 KiB":           {`"` + long + `"`, long},
		"too long":         {`"` + strings.Repeat(long, 8) + `"`, ""},
		"escaped":          {`"\u0061\u002fb"`, "a/b"},
		"half a surrogate": {`"\ud800"`, b64("\ufffd")},
		"number":           {`1`, ""},
		"null":             {`null`, ""},
		"object":           {`{"name":"x"}`, ""},
	} {
		h := http.Header{headerSession: {"s"}}
		m := messageOf(modernCall(`1`, tt.value, `{}`))
		modernFields(h, m, &marked{})
		if h.Get("Mcp-Name") != tt.want || h.Get("Mcp-Method") != "tools/call" || h.Get("Mcp-Protocol-Version") != "2026-07-28" || len(h[headerSession]) != 0 {
			t.Errorf("%s: %.100v", name, h)
		}
	}
}

func TestOnlyWhatEveryReaderReadsAlikeIsRepeated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ raw, version, method, name string }{
		{`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"_meta":` + modernMeta + `,"name":"p","uri":"u"}}`, "2026-07-28", "prompts/get", "p"},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"_meta":` + modernMeta + `,"name":"p","uri":"u:1"}}`, "2026-07-28", "resources/read", "u:1"},
		{`{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"_meta":` + modernMeta + `,"taskId":"t"}}`, "2026-07-28", "tasks/get", "t"},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":` + modernMeta + `,"name":"p"}}`, "2026-07-28", "tools/list", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"a\nb","params":{"_meta":` + modernMeta + `}}`, "2026-07-28", "", ""},
		{`{"jsonrpc":"2.0","method":"notifications/x","params":{"_meta":` + modernMeta + `,"name":"p"}}`, "2026-07-28", "notifications/x", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":` + modernMeta + `,"Name":"p"}}`, "2026-07-28", "tools/call", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":` + modernMeta + `,"name":"p","name":"q"}}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_Meta":` + modernMeta + `,"name":"p"}}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28\r\nX: y"},"name":"p"}}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":1},"name":"p"}}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"p"}}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}`, "", "", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, "", "", ""},
	} {
		h := http.Header{}
		modernFields(h, messageOf(tt.raw), &marked{})
		if h.Get(headerVersion) != tt.version || h.Get(headerMethod) != tt.method || h.Get(headerName) != tt.name {
			t.Errorf("%s: %v", tt.raw, h)
		}
	}
}

// What a modern client tells goes as the request before it, but for what the
// server knows by the end of a POST or need not know.
func TestNotificationOfAModernClientIsOfItsVersion(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := messageOf(string(body))
		told <- m.Method + " " + r.Header.Get(headerMethod) + " " + r.Header.Get(headerVersion)
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		answers(http.StatusOK, typeJSON, did(string(m.ID), m.Method))(w, r)
	})
	c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
	c.say(modernAsk(`1`, "tools/list", ``))
	c.hears(did("1", "tools/list"))
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `{"jsonrpc":"2.0","method":"notifications/x"}`)
	want(t, "asked", <-told, "tools/list tools/list 2026-07-28")
	want(t, "told", <-told, "notifications/x notifications/x 2026-07-28")
}

func TestArgumentsAreRepeatedAsTheToolSays(t *testing.T) {
	t.Parallel()
	tools := &marked{}
	tools.learn([]byte(`{"tools":[{"name":"t","inputSchema":{"type":"object","properties":{
		"s":{"type":"string","x-mcp-header":"Text"},"i":{"type":"integer","x-mcp-header":"num"},"b":{"type":"boolean","x-mcp-header":"B"},
		"deep":{"properties":{"er":{"properties":{"s":{"type":"string","x-mcp-header":"Deep"}}}}},"no":{"type":"string"}}}},{"name":"u"}]}`))
	for _, tt := range []struct{ arguments, want string }{
		{`{"s":"x","i":7,"b":true,"deep":{"er":{"s":"y"}},"no":"z"}`, "B=true Deep=y Num=7 Text=x"},
		{`{"s":"a\nb","i":-0,"b":false}`, "B=false Num=0 Text==?base64?YQpi?="},
		{`{"s":null,"i":1.5,"b":null}`, ""},
		{`{"i":42.0}`, "Num=42"},
		{`{"i":4.2e1}`, "Num=42"},
		{`{"i":9007199254740991}`, "Num=9007199254740991"},
		{`{"i":9007199254740992}`, ""},
		{`{"i":-9007199254740993}`, ""},
		{`{"i":1e400}`, ""},
		{`{"s":["x"],"i":{},"b":[true]}`, ""},
		{`{"S":"x","I":1,"Deep":{"er":{"s":"y"}}}`, ""},
		{`{"deep":{"er":{"s":"y","s":"z"}}}`, ""},
		{`{"deep":"er"}`, ""},
		{`{"deep.er.s":"y"}`, ""},
		{`[]`, ""},
		{`null`, ""},
	} {
		h := http.Header{}
		modernFields(h, messageOf(modernCall(`1`, `"t"`, tt.arguments)), tools)
		var got []string
		for _, name := range []string{"B", "Deep", "Num", "Text"} {
			if v := h["Mcp-Param-"+name]; v != nil {
				got = append(got, name+"="+v[0])
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.arguments, got, tt.want)
		}
	}
}

func TestToolThatMarksItsArgumentsWronglyIsNotShown(t *testing.T) {
	t.Parallel()
	for schema, fine := range map[string]bool{
		`{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}`:                                          true,
		`{"properties":{"x-mcp-header":{"type":"string"}}}`:                                                  true,
		`{"properties":{"a":{"type":"string","default":{"x-mcp-header":1}}}}`:                                true,
		`{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}`:                                          false,
		`{"properties":{"a":{"type":["string"],"x-mcp-header":"A"}}}`:                                        false,
		`{"properties":{"a":{"x-mcp-header":"A"}}}`:                                                          false,
		`{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}`:                                          false,
		`{"properties":{"a":{"type":"string","x-mcp-header":""}}}`:                                           false,
		`{"properties":{"a":{"type":"string","x-mcp-header":1}}}`:                                            false,
		`{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nB"}}}`:                                     false,
		`{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}`:                                        false,
		`{"properties":{"a":{"type":"string","x-mcp-header":"ä"}}}`:                                          false,
		`{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}`: false,
		`{"type":"string","x-mcp-header":"A"}`:                                                               false,
		`{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}`:                                false,
		`{"properties":{"a":{"items":[{"properties":{"b":{"type":"string","x-mcp-header":"A"}}}]}}}`:         false,
		`{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}`:                              false,
		`{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}`:                                               false,
		`{"if":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`:                                   false,
		`{"patternProperties":{".":{"type":"string","x-mcp-header":"A"}}}`:                                   false,
	} {
		tools := &marked{}
		result := `{"tools":[{"name":"keep"}, {"name":"t","inputSchema":` + schema + `}],"ttlMs":1}`
		want := result
		if !fine {
			want = `{"tools":[{"name":"keep"}],"ttlMs":1}`
		}
		if got := string(tools.learn([]byte(result))); got != want {
			t.Errorf("%s:\n%s", schema, got)
		}
	}
}

func TestToolWhoseMarksAreGoneIsForgotten(t *testing.T) {
	t.Parallel()
	var k marked
	k.learn([]byte(`{"tools":[{"name":"x","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}`))
	want(t, "bound", len(k.of("x")), 1)
	k.learn([]byte(`{"tools":[{"name":"x","inputSchema":{"type":"object","properties":{"r":{"type":"string"}}}}]}`))
	want(t, "bound", len(k.of("x")), 0)
}

func TestMemoryOfToolsIsBounded(t *testing.T) {
	t.Parallel()
	tools := &marked{}
	for i := range 3 * mostTools {
		tools.set(strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i), []binding{{[]string{"a"}, "A"}})
	}
	if tools.size > mostBound || len(tools.tools) > mostTools || len(tools.order) != len(tools.tools) || len(tools.tools) == 0 {
		t.Errorf("%d tools of %d bytes, %d in order", len(tools.tools), tools.size, len(tools.order))
	}
	tools.set("one", []binding{{[]string{"a"}, "A"}})
	tools.set("one", nil)
	tools.set(strings.Repeat("z", mostBound), []binding{{[]string{"a"}, "A"}})
	if tools.of("one") != nil || tools.of(strings.Repeat("z", mostBound)) != nil {
		t.Error("remembered what should be forgotten")
	}
}

// FuzzModernHeaders holds that no value of a field has a byte that could be
// taken for the end of it, that what stands in it is what the body says, and
// that a body that readers differ on has no field.
func FuzzModernHeaders(f *testing.F) {
	f.Add("tools/call", "name", `"region"`, `{"region":"a"}`)
	f.Add("resources/read", "a\r\nb", `"=?base64?x?="`, `{"region":{"n":1e2}}`)
	f.Fuzz(func(t *testing.T, method, name, value, arguments string) {
		if !json.Valid([]byte(value)) || !json.Valid([]byte(arguments)) || !utf8.ValidString(value+arguments) {
			return // no such message is read
		}
		tools := &marked{}
		tools.set(name, []binding{{[]string{"region"}, "Region"}, {[]string{"region", "n"}, "N"}})
		params := `{"name":` + string(quoted(name)) + `,"uri":` + value + `,"arguments":` + arguments + `,"_meta":` + modernMeta + `}`
		raw := `{"jsonrpc":"2.0","id":1,"method":` + string(quoted(method)) + `,"params":` + params + `}`
		h := http.Header{}
		modernFields(h, messageOf(raw), tools)
		for field, values := range h {
			for _, v := range values {
				for _, c := range []byte(v) {
					if c < ' ' || c > '~' {
						t.Fatalf("%s: %q", field, v)
					}
				}
				if v == "" || strings.TrimSpace(v) != v {
					t.Fatalf("%s: %q", field, v)
				}
			}
		}
		var read string
		_ = json.Unmarshal(quoted(name), &read)
		if method == "tools/call" && len(name) < 1000 && decoded(t, h.Get("Mcp-Name")) != read {
			t.Fatalf("%q for %q", h.Get("Mcp-Name"), read)
		}
	})
}

// decoded returns what a field's value stands for.
func decoded(t *testing.T, v string) string {
	t.Helper()
	if in, ok := strings.CutPrefix(v, "=?base64?"); ok {
		if in, ok := strings.CutSuffix(in, "?="); ok {
			b, err := base64.StdEncoding.DecodeString(in)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	return v
}

// A server that has a field missing has its list asked for, and the call that it
// has refused sent once more.
func TestFieldThatIsMissedIsLearned(t *testing.T) {
	t.Parallel()
	h := newHouse(t, modernOnly, refusesLegacy)
	c := run(t, New(Options{URL: parsed(t, h.url), Route: h.route, Log: testLog(t)}))
	c.say(modernCall(`1`, `"placed"`, `{"region":"a b","deep":{"n":3}}`))
	if got := c.hear(); !strings.Contains(got, `"a b/3"`) || !strings.Contains(got, `"id":1`) {
		t.Error(got)
	}
	c.say(modernCall(`2`, `"placed"`, `{"region":"ü"}`))
	if got := c.hear(); !strings.Contains(got, `"=?base64?w7w=?=/"`) {
		t.Error(got)
	}
	c.say(modernCall(`3`, `"greet"`, `{"who":"Bob"}`))
	if got := c.hear(); !strings.Contains(got, `hello Bob`) {
		t.Error(got)
	}
	want(t, "requests", len(h.said()), 5) // the call, the list, and three calls
}

// A mismatch that the list does not explain is the server's answer.
func TestMismatchThatStaysIsTold(t *testing.T) {
	t.Parallel()
	refusal := `{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"no"}}`
	h := newHouse(t, modernOnly, func(w http.ResponseWriter, _ *http.Request, body string) bool {
		if !strings.Contains(body, `"tools/call"`) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(refusal))
		return true
	})
	c := run(t, New(Options{URL: parsed(t, h.url), Route: h.route, Log: testLog(t)}))
	c.say(modernCall(`1`, `"greet"`, `{}`))
	c.hears(`{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"no"}}`)
	want(t, "requests", len(h.said()), 2)
	c.say(modernCall(`2`, `"placed"`, `{}`)) // which is known now, so that the call may be sent with other fields
	c.hears(`{"jsonrpc":"2.0","id":2,"error":{"code":-32020,"message":"no"}}`)
	want(t, "requests", len(h.said()), 4)
}
