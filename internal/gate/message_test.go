package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMessageNamesWhatItIsAbout(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b","Name":"c"}}}`:                                                                      "tool a",
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}`:                                                                                                                 "tool a",
		`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"a"}}`:                                                                                                       "tool a",
		`{"jsonrpc":"2.0","id":1,"method":"tools/c\u0061ll","params":{"\u006eame":"\u0061"}}`:                                                                                           "tool a",
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"name":"b","progressToken":[1]},"task":{"ttl":1}}}`:                                                "tool a",
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":"none"}}`:                                                                                           "tool a",
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}`:                                                                                                         "prompt p",
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a","name":"b"}}`:                                                                                    "resource file:///a",
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"u"}}`:                                                                                                  "resource u",
		`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"u"}}`:                                                                                                "resource u",
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"x"}}}`:                                             "prompt p",
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"u"}}}`:                                                                    "resource u",
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["u","v"]}}}`:                               "resource u,resource v",
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":null}}}`:                                                            "",
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}`:                                                                                                                      "",
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"a"}}`:                                                                                                          "",
		`{"jsonrpc":"2.0","id":1,"method":"own/method","params":[1]}`:                                                                                                                   "",
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}`:                                                                                                                                "",
		`{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"a"}}`:                                                                                                                    "",
		`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}},{"jsonrpc":"2.0","method":"tools/call","params":{"name":"b"}},{"jsonrpc":"2.0","id":2,"method":"ping"}]`: "tool a,tool b",
	} {
		m, err := parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var got []string
		for _, c := range m.calls {
			for _, s := range c.about {
				got = append(got, string(s.kind)+" "+s.name)
			}
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// hostileMessages are read in different ways by different readers, or are no
// messages.
func hostileMessages() map[string]string {
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":` + params + `}`
	}
	deep := strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000)
	many := strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"ping"},`, 9_999) + `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	return map[string]string{
		"empty": ``, "space": "  \n", "null": `null`, "text": `hello`, "string": `"x"`, "cut": call(`{"name":"echo"`), "two messages": call(`{"name":"echo"}`) + call(`{"name":"secret"}`),
		"byte order mark": "\xef\xbb\xbf" + call(`{"name":"echo"}`), "UTF-16": "{\x00\"\x00}\x00", "invalid UTF-8": call("{\"name\":\"echo\xff\"}"),
		"name and Name": call(`{"name":"echo","Name":"secret"}`), "Name and name": call(`{"NAME":"secret","name":"echo"}`), "name twice": call(`{"name":"echo","name":"secret"}`),
		"name twice, escaped": call(`{"name":"echo","n\u0061me":"secret"}`), "only Name": call(`{"Name":"echo"}`), "another member twice": call(`{"name":"echo","x":1,"x":2}`),
		"no name": call(`{}`), "name is a number": call(`{"name":1}`), "name is null": call(`{"name":null}`), "name is an array": call(`{"name":["echo"]}`), "name is an object": call(`{"name":{"name":"echo"}}`),
		"params are an array": call(`["echo"]`), "params are null": call(`null`), "params are a string": call(`"echo"`), "no params": `{"jsonrpc":"2.0","id":7,"method":"tools/call"}`,
		"params twice":      `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"},"params":{"name":"secret"}}`,
		"params and PARAMS": `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"},"PARAMS":{"name":"secret"}}`,
		"method and Method": `{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/call","params":{"name":"secret"}}`,
		"long s":            `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"},"param\u017f":{"name":"secret"}}`,
		"id and ID":         `{"jsonrpc":"2.0","id":7,"ID":8,"method":"ping"}`, "response and method": `{"jsonrpc":"2.0","id":7,"result":{},"Method":"tools/call","params":{"name":"secret"}}`,
		"method in capitals": `{"jsonrpc":"2.0","id":7,"method":"Tools/Call","params":{"name":"secret"}}`, "method with space": `{"jsonrpc":"2.0","id":7,"method":"tools/call ","params":{"name":"secret"}}`,
		"name with NUL": call(`{"name":"echo\u0000"}`), "name with a line break": call(`{"name":"echo\n"}`), "half of a character": call(`{"name":"echo\ud800"}`), "replacement character": call("{\"name\":\"echo\ufffd\"}"),
		"long name": call(`{"name":"` + strings.Repeat("e", mostName+1) + `"}`), "long id": `{"jsonrpc":"2.0","id":"` + strings.Repeat("1", 5000) + `","method":"ping"}`,
		"id is an object": `{"jsonrpc":"2.0","id":{},"method":"ping"}`, "deep": call(`{"name":"echo","arguments":` + deep + `}`),
		"empty batch": `[]`, "batch of nothing": `[1]`, "batch in a batch": `[[` + call(`{"name":"echo"}`) + `]]`, "batch with one that is unclear": `[` + call(`{"name":"echo"}`) + `,` + call(`{"name":"echo","Name":"secret"}`) + `]`,
		"large batch":    `[` + many + `]`,
		"ref of no type": `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"name":"p"}}}`, "no ref": `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{}}`,
		"ref of both":                 `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","uri":"u"}}}`,
		"ref and Ref":                 `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"Ref":{"type":"ref/prompt","name":"q"}}}`,
		"type and Type":               `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","Type":"ref/resource","name":"p","Uri":"u"}}}`,
		"subscriptions that are none": `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"u"}}}`,
		"subscription that is none":   `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u",null]}}}`,
		"subscriptions by case":       `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"ResourceSubscriptions":["u"]}}}`,
		"notifications by case":       `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"Notifications":{"resourceSubscriptions":["u"]}}}`,
		"name and name with NUL":      call(`{"name\u0000":"secret","name":"echo"}`), "name and name with a blank": call(`{"name ":"secret","name":"echo"}`), "method with NUL in its name": `{"jsonrpc":"2.0","id":7,"method\u0000":"tools/call","method":"ping","params":{"name":"secret"}}`,
		"params with NUL in their name": `{"jsonrpc":"2.0","id":7,"method":"ping","params\u0000":{"name":"secret"}}`, "uri with NUL in its name": `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","uri\u0000":"u"}}}`,
		"members without end": call(`{"name":"echo"` + manyMembers(20_000) + `}`), "resources without end": `[` + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[`+strings.TrimSuffix(strings.Repeat(`"a:b",`, 999), ",")+`]}}},`, 11), ",") + `]`,
		"name with a blank before it": call(`{"name":" echo"}`), "name with a hard blank behind it": call(`{"name":"echo\u00a0"}`), "name with a blank of no width": call(`{"name":"ec\u200bho"}`),
		"batch of numbers": `[` + strings.Repeat("1,", 5000) + `1]`,
		"uri and URI":      `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"a","URI":"b"}}`,
	}
}

// manyMembers are n members of an object, each with a comma before it.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	return b.String()
}

func TestMessageThatReadersReadDifferentlyIsNone(t *testing.T) {
	t.Parallel()
	for name, in := range hostileMessages() {
		m, err := parse([]byte(in))
		if err == nil {
			t.Errorf("%s: taken: %+v", name, m.calls)
			continue
		}
		for _, secret := range []string{"secret", "echo"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats the message: %v", name, err)
			}
		}
	}
}

func TestRequestsOfAnUnclearMessageAreKnown(t *testing.T) {
	t.Parallel()
	m, err := parse([]byte(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{}},{"jsonrpc":"2.0","method":"n"}]`))
	if err == nil || m == nil || len(m.ids) != 2 || string(slices.Concat(m.ids...)) != `1"x"` || !m.batch {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestInitializeIsKnown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`:                                true,
		`{"jsonrpc":"2.0","method":"initialize"}`:                                                   false,
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`:                                                  false,
		`[{"jsonrpc":"2.0","id":1,"method":"initialize"},{"jsonrpc":"2.0","id":2,"method":"ping"}]`: false,
	} {
		if m, err := parse([]byte(in)); err != nil || m.begins() != want {
			t.Errorf("%s: %v, %v", in, m.begins(), err)
		}
	}
	if (*message)(nil).begins() {
		t.Error("nothing begins a session")
	}
}
