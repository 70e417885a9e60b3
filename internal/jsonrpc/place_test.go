package jsonrpc

import (
	"encoding/json"
	"testing"
)

func TestPlaceOfAValueIsThatOfItsBytes(t *testing.T) {
	t.Parallel()
	object := ` {"a":1,"b":{"a":2},"\u0063" : "x" ,"a": [3, {} ,"," ] }`
	for name, want := range map[string]string{"a": `[3, {} ,"," ]`, "b": `{"a":2}`, "c": `"x"`} {
		if at := MemberAt([]byte(object), name); object[at.From:at.To] != want {
			t.Errorf("%s: %q", name, object[at.From:at.To])
		}
	}
	if at := MemberAt([]byte(object), "d"); at != (Place{}) {
		t.Errorf("what is not there: %v", at)
	}
	array := ` [ 3, {} ,",",[ ] ] `
	var got []string
	for _, at := range ElementsAt([]byte(array)) {
		got = append(got, array[at.From:at.To])
	}
	if b, _ := json.Marshal(got); string(b) != `["3","{}","\",\"","[ ]"]` {
		t.Errorf("elements: %s", b)
	}
	if all := ElementsAt([]byte(`[ ]`)); len(all) != 0 {
		t.Errorf("of an empty array: %v", all)
	}
}

func TestNameThatDiffersByCaseOnlyIsSeen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		`{"name":1}`: false, `{}`: false, `{"names":1}`: false, `{"name":1,"arguments":{"Name":2}}`: false,
		`{"name\u0000":1}`: true, `{"name\u0000x":1}`: true, `{"name ":1}`: true, `{"\u0009name":1}`: true, `{"\ufeffname":1}`: true, `{"name\u0085":1}`: true, `{"na\u0000me":1}`: false, `{"name_":1}`: false,
		`{"Name":1}`: true, `{"name":1,"NAME":2}`: true, `{"name":1,"n\u0041me":2}`: true,
	} {
		members, err := Object([]byte(in))
		if err != nil || FoldedTwice(members, "name") != want {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
	for in, want := range map[string]bool{
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"Method":"n"},"x":1}`: false, `{"jsonrpc":"2.0","id":1,"result":{}}`: false,
		`{"jsonrpc":"2.0","id":1,"method":"m","Params":{}}`: true, `{"jsonrpc":"2.0","id":1,"method":"m","method\u0000":"n"}`: true, `{"jsonrpc":"2.0","id":1,"METHOD":"n","result":{}}`: true, `{"jsonrpc":"2.0","method":"m","iD":1}`: true,
		`{"jsonrpc":"2.0","id":1,"result":{},"Error":{}}`: true, `{"jsonrpc":"2.0","JsonRpc":"2.0","id":1,"method":"m"}`: true, `{"jsonrpc":"2.0","id":1,"error":{},"re\u017fult":{}}`: true,
	} {
		if m, err := Parse([]byte(in)); err != nil || m.Folded != want {
			t.Errorf("%s: %v, %v", in, m.Folded, err)
		}
	}
	members, _ := Object([]byte(`{"tool\u017f":[]}`))
	if !FoldedTwice(members, "tools") {
		t.Error("a long s is not taken for one")
	}
}
