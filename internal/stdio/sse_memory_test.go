package stdio

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestSettingsOfASessionAreRememberedWithinLimits(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, answered(500, "", ""))
	for _, m := range []string{
		`{"method":"logging/setLevel","params":{"level":"info"}}`, `{"method":"logging/setLevel","params":{"level":"debug"}}`,
		`{"method":"logging/setLevel","params":{"level":"` + strings.Repeat("x", mostSetting) + `"}}`,
		`{"method":"resources/subscribe","params":{"uri":"b"}}`, `{"method":"resources/subscribe","params":{"uri":"c"}}`,
		`{"method":"resources/subscribe","params":{"uri":"a"}}`, `{"method":"resources/subscribe","params":{"uri":"a","_meta":{}}}`,
		`{"method":"resources/subscribe","params":{"uri":1}}`, `{"method":"resources/subscribe","params":{}}`, `{"method":"resources/subscribe"}`,
		`{"method":"resources/unsubscribe","params":{"uri":"c"}}`, `{"method":"resources/unsubscribe","params":{"uri":"never"}}`,
		`{"method":"tools/call","params":{"uri":"d"}}`,
	} {
		s.note(messageOf(strings.Replace(m, "{", `{"jsonrpc":"2.0","id":1,`, 1)))
	}
	var got []string
	for _, m := range s.memory.messages() {
		got = append(got, m.Method+" "+string(m.Params))
	}
	wantList(t, "set again", got, `logging/setLevel {"level":"debug"}`, `resources/subscribe {"uri":"a","_meta":{}}`, `resources/subscribe {"uri":"b"}`)
	for i := range 2 * mostSubscriptions {
		s.note(messageOf(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"%04d"}}`, i)))
	}
	all := s.memory.messages()
	want(t, "messages", len(all), 1+mostSubscriptions)
	for i, m := range all[2:] {
		if string(m.Params) < string(all[i+1].Params) && i > 0 {
			t.Fatalf("%s comes after %s", m.Params, all[i+1].Params)
		}
	}
}

func TestIDsAreForgottenOldestFirst(t *testing.T) {
	t.Parallel()
	var k keys
	want(t, "none", k.take("0"), false)
	for i := range mostAsked + 1 {
		k.put(strconv.Itoa(i))
	}
	want(t, "oldest", k.take("0"), false)
	want(t, "next", k.take("1"), true)
	want(t, "a second time", k.take("1"), false)
	want(t, "newest", k.take(strconv.Itoa(mostAsked)), true)
}

func TestTermsOfASessionAreReadExactly(t *testing.T) {
	t.Parallel()
	for in, said := range map[string]string{
		`{"protocolVersion":"2024-11-05","capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":true},"prompts":{"listChanged":true}}}`: "2024-11-05 [tools prompts resources]",
		`{"protocolVersion":"2024-11-05","capabilities":{"tools":{"listChanged":false},"resources":{},"prompts":{"listChanged":"true"},"logging":{}}}`:   "2024-11-05 []",
		`{"protocolVersion":"2024-11-05","capabilities":{"tools":true}}`:                                                                                 "2024-11-05 []", `{"protocolVersion":"2024-11-05"}`: "2024-11-05 []",
		`{"protocolVersion":"2024 11"}`: " []", `{"protocolVersion":"x\r\ny"}`: " []", `{"protocolVersion":"` + strings.Repeat("2", mostVersion+1) + `"}`: " []",
		`{"protocolVersion":20241105}`: " []", `{}`: " []", `null`: " []", ``: " []",
	} {
		version, lists := terms(json.RawMessage(in))
		want(t, in, fmt.Sprint(version, " ", lists), said)
	}
}

func TestThereIsNoUseInWaitingWhereNothingPasses(t *testing.T) {
	t.Parallel()
	for status, use := range map[int]bool{400: true, 401: false, 403: true, 404: false, 405: true, 429: false, 500: false, 503: false} {
		want(t, fmt.Sprint(status), lasting(&refusal{status: status}), use)
	}
	want(t, "another version", lasting(&failure{err: errVersion}), true)
	want(t, "another failure", lasting(ours("x")), false)
	want(t, "no connection", lasting(errors.New("x")), false)
}

func TestProblemsOfTheOlderTransportKeepWhatIsKnown(t *testing.T) {
	t.Parallel()
	doc := `{"title":"sign in","detail":"first"}`
	r := &refusal{status: 403, mediaType: "application/problem+json", body: []byte(doc)}
	o := Options{Explain: func(error) (string, any) { return "explained", 7 }}
	withData := ours("own words")
	withData.data = 8
	const lost = "the connection to the server is lost, and could not be made again within 30 s"
	for _, tt := range []struct {
		err  error
		o    Options
		line string
		data any
	}{
		{nil, o, lost, nil}, {withData, o, lost + ": own words", 8}, {r, o, lost + ": the server answered 403 Forbidden: first", doc},
		{errors.New("x"), o, lost + ": explained", 7}, {errors.New("x"), Options{}, lost + ": x", nil},
	} {
		f := gone(tt.o, tt.err).(*failure)
		want(t, "line", f.line, tt.line)
		data := f.data
		if raw, ok := data.(json.RawMessage); ok {
			data = string(raw)
		}
		want(t, tt.line, data, tt.data)
	}
	r.status = 404
	f := neither(o, r, errors.New("x")).(*failure)
	want(t, "line", f.line, "the server answered 404 Not Found: first; as a server of MCP 2024-11-05 it was not reached either: explained")
	want(t, "data", fmt.Sprintf("%s", f.data), doc)
	f = neither(o, &refusal{status: 400, body: []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}`)}, nil).(*failure)
	want(t, "line of an error without words", f.line, "the server answered 400 Bad Request; as a server of MCP 2024-11-05 it was not reached either")
	want(t, "code of an error without words", f.code, codeOurs)
	for body, said := range map[string]string{
		`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m"}}`: "-1 m true", `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":{}}}`: "-1 m true",
		`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}`: "-1  true", `{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"m"}}`: "-",
		`{"jsonrpc":"2.0","id":1,"result":{}}`: "-", `{"jsonrpc":"2.0","method":"m","error":{"code":-1,"message":"m"}}`: "-", `{"error":{"code":-1,"message":"m"}}`: "-", ``: "-",
	} {
		_, e, ok := spokenIn([]byte(body))
		if got := fmt.Sprint(e.code, " ", e.message, " ", ok); got != said && (ok || said != "-") {
			t.Errorf("%s: %s", body, got)
		}
	}
}
