package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// what is expected of a line that is not as it should be.
const (
	noAnswer  = -1 // none at all
	anyAnswer = 1  // one, whatever it says
	aResult   = 0
	invalid   = -32600 // an error with this code
)

// TestStdioHostileInputIsAnsweredOrIgnored: what a client writes that is no
// message gets the error of JSON-RPC if one can tell whom it would answer, and
// otherwise nothing. One bridge takes all of it, and works after each.
func TestStdioHostileInputIsAnsweredOrIgnored(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	b.send("\xef\xbb\xbf" + initializeLine + "\r")
	b.await(`"first"`)
	b.send(initializedLine + "\r")
	asked := map[string]bool{`"first"`: true}
	for n, tt := range hostileInput() {
		b.send(tt.line)
		probe := fmt.Sprint("probe ", n)
		b.ask(probe)
		asked[`"`+probe+`"`] = true
		for _, id := range tt.ids {
			asked[id] = true
			if tt.want == noAnswer {
				continue
			}
			m := b.await(id)
			switch {
			case tt.want == aResult && m.Error != nil, tt.want < 0 && (m.Error == nil || m.Error.Code != tt.want):
				t.Errorf("%.100s: result %.100q, error %+v, want %d", tt.name, m.Result, m.Error, tt.want)
			}
		}
	}
	b.in.Close() // what else was to come has come once it ended
	if err := b.end(); err != nil {
		t.Error(err)
	}
	for id := range b.answers {
		if !asked[id] {
			t.Errorf("request %.100s was answered, which was none", id)
		}
	}
	for _, v := range f.all("tools/call") {
		if !asked[v.id] {
			t.Errorf("the call %.100q was passed on", v.id)
		}
	}
	wantOneSession(t, f)
}

// hostileLine is a line, the ids that are in it, and what each of them gets.
type hostileLine struct {
	name, line string
	ids        []string
	want       int
}

func hostileInput() []hostileLine {
	const refused = `"method":"tools/call","params":{"name":"echo","arguments":{"key":"refused"}}`
	call := func(id string) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`, id) }
	list := []hostileLine{
		{"nothing", "", nil, noAnswer},
		{"blanks", " \t ", nil, noAnswer},
		{"words", "this is not JSON", nil, noAnswer},
		{"a shell's noise", "\x1b[31mwarning:\x1b[0m something", nil, noAnswer},
		{"NULs", "\x00\x00\x00", nil, noAnswer},
		{"a message that is cut", `{"jsonrpc":"2.0","id":"cut",` + refused, nil, noAnswer},
		{"two messages in a line", `{"jsonrpc":"2.0","method":"a"}{"jsonrpc":"2.0","method":"b"}`, nil, noAnswer},
		{"a string", `"ping"`, nil, noAnswer},
		{"a number", `17`, nil, noAnswer},
		{"null", `null`, nil, noAnswer},
		{"an empty object", `{}`, nil, noAnswer},
		{"a version alone", `{"jsonrpc":"2.0"}`, nil, noAnswer},
		{"a notification of a kind that nobody knows", `{"jsonrpc":"2.0","method":"notifications/what"}`, nil, noAnswer},
		{"id null", `{"jsonrpc":"2.0","id":null,` + refused + `}`, nil, noAnswer},
		{"id true", `{"jsonrpc":"2.0","id":true,` + refused + `}`, nil, noAnswer},
		{"id an object", `{"jsonrpc":"2.0","id":{"id":1},` + refused + `}`, nil, noAnswer},
		{"id an array", `{"jsonrpc":"2.0","id":[1],` + refused + `}`, nil, noAnswer},
		{"two ids", `{"jsonrpc":"2.0","id":"one","id":"two",` + refused + `}`, nil, noAnswer},
		{"two methods", `{"jsonrpc":"2.0","id":"methods","method":"ping",` + refused + `}`, []string{`"methods"`}, invalid},
		{"two params", `{"jsonrpc":"2.0","id":"params",` + refused + `,"params":{}}`, []string{`"params"`}, invalid},
		{"another version", `{"jsonrpc":"1.0","id":"version",` + refused + `}`, []string{`"version"`}, invalid},
		{"no version", `{"id":"no version",` + refused + `}`, []string{`"no version"`}, invalid},
		{"a method that is a number", `{"jsonrpc":"2.0","id":"a number","method":1}`, []string{`"a number"`}, invalid},
		{"an answer to nothing", `{"jsonrpc":"2.0","id":"nothing","result":{}}`, nil, noAnswer},
		{"an error to nothing", `{"jsonrpc":"2.0","id":"nothing","error":{"code":1,"message":"no"}}`, nil, noAnswer},
		{"an empty array", `[]`, nil, noAnswer},
		{"an array of nothing", `[1,"x",null,[]]`, nil, noAnswer},
		{"an array of two", "[" + call(`"b1"`) + "," + call(`"b2"`) + "]", []string{`"b1"`, `"b2"`}, aResult},
		{"an array of one and nonsense", "[" + call(`"b3"`) + `,1,{},"x"]`, []string{`"b3"`}, aResult},
		{"an array with a wrong one", `[{"jsonrpc":"1.0","id":"b4","method":"ping"}]`, []string{`"b4"`}, invalid},
		{"nested deeply", `{"jsonrpc":"2.0","id":"deep","method":"ping","params":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, []string{`"deep"`}, anyAnswer},
		{"members of ours twice below", `{"jsonrpc":"2.0","id":"below","method":"ping","params":{"id":1,"id":2,"jsonrpc":"1.0"}}`, []string{`"below"`}, aResult},
		{"a carriage return", call(`"return"`) + "\r", []string{`"return"`}, aResult},
		{"blanks around", "\t " + call(`"around"`) + " \t", []string{`"around"`}, aResult},
		{"an id that is longer than any", call(`"` + strings.Repeat("i", 1<<20) + `"`), nil, noAnswer},
		{"a method that nobody knows", `{"jsonrpc":"2.0","id":"unknown","method":"what/is\u0000this\r\n"}`, []string{`"unknown"`}, -32601},
	}
	for _, id := range []string{
		`0`, `-1`, `12345678901234567890123`, `1.5`, `""`, `"null"`, `"\u0000"`, `"a\nb\r\nc"`, `"\"\\"`, `"\ud83d\ude00"`, `"<script>&"`, `"` + strings.Repeat("i", 4000) + `"`,
	} {
		list = append(list, hostileLine{fmt.Sprintf("id %.40s", id), call(id), []string{id}, aResult})
	}
	return list
}

// TestStdioLineThatIsTooLongIsNotKept: a message beyond the limit is answered by
// an error without being kept, and the next one works.
func TestStdioLineThatIsTooLongIsNotKept(t *testing.T) {
	thorough(t)
	t.Parallel()
	token, _, lines := fileToken(t)
	f := newFaulty(t, token, http2too)
	b := f.bridge(bridging{token: lines, hidden: []string{token}, plain: true})
	b.initialize()
	b.begin(`{"jsonrpc":"2.0","id":"too long","method":"tools/call","params":{"name":"echo","arguments":{"key":"too long","text":"`)
	piece := strings.Repeat("x", 1<<20)
	for range 600 {
		b.begin(piece)
	}
	b.send(`"}}}`)
	b.wantError("too long")
	b.ask("after")
	if n := f.times("too long"); n != 0 {
		t.Errorf("it was carried out %d times", n)
	}
	// The limit is 64 MiB: a buffer that grows to it by doubling is copied, and
	// twice that is what the collector leaves.
	b.wantPeak(384 << 20)
}
