package jsonrpc

import (
	"strings"
	"testing"
)

func TestParamsAndResultAreAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		`{"jsonrpc":"2.0","id":1,"method":"m","params": {"a" : 1e3} }`: {`{"a" : 1e3}`, ""},
		`{"jsonrpc":"2.0","method":"m","params":[1]}`:                  {`[1]`, ""},
		`{"jsonrpc":"2.0","id":1,"method":"m"}`:                        {"", ""},
		`{"jsonrpc":"2.0","id":1,"method":"m","Params":{}}`:            {"", ""},
		`{"jsonrpc":"2.0","id":1,"result":{"a":"\u0062"}}`:             {"", `{"a":"\u0062"}`},
		`{"jsonrpc":"2.0","id":1,"error":{"code":1}}`:                  {"", ""},
		`{"jsonrpc":"2.0","id":1,"result":1,"params":2}`:               {"", "1"},
	} {
		m, err := Parse([]byte(in))
		if err != nil || string(m.Params) != want[0] || string(m.Result) != want[1] {
			t.Errorf("%s: params %s, result %s, %v", in, m.Params, m.Result, err)
		}
	}
}

func TestBatchIsReadMessageByMessage(t *testing.T) {
	t.Parallel()
	all, err := ParseBatch([]byte(` [{"jsonrpc":"2.0","id":1,"method":"m"}, {"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":"x","result":{}}] `))
	if err != nil || len(all) != 3 || all[0].Kind != Request || all[1].Method != "n" || string(all[2].ID) != `"x"` {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := ParseBatch([]byte(`[]`)); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	secret := "do-not-repeat"
	for _, in := range []string{
		``, `{"jsonrpc":"2.0","id":1,"method":"` + secret + `"}`, `[1]`, `["` + secret + `"]`, `[[]]`, `[{}]`,
		`[{"jsonrpc":"2.0","id":1,"method":"m"},{"jsonrpc":"2.0","id":1,"id":1,"method":"` + secret + `"}]`,
		`[{"jsonrpc":"2.0","id":1,"method":"m"}] x`,
	} {
		all, err := ParseBatch([]byte(in))
		if err == nil || all != nil {
			t.Errorf("%s: %+v, %v", in, all, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the message: %v", err)
		}
	}
}

func TestObjectIsReadExactly(t *testing.T) {
	t.Parallel()
	members, err := Object([]byte(` {"uri":"a","URI":"b","x":{"y":1,"y":2}}`))
	if uri, ok := Text(members["uri"]); err != nil || !ok || uri != "a" || len(members) != 3 {
		t.Errorf("%q, %v", members, err)
	}
	for _, in := range []string{``, ` `, `[]`, `"x"`, `{`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, "{\"a\":\"\xff\"}", `{} {}`} {
		if members, err := Object([]byte(in)); err == nil || members != nil {
			t.Errorf("%s: %q, %v", in, members, err)
		}
	}
	for _, in := range []string{``, `1`, `null`, `{}`, `"`} {
		if s, ok := Text([]byte(in)); ok {
			t.Errorf("%s: %q", in, s)
		}
	}
}
