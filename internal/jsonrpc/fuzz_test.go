package jsonrpc

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds what is true of every message that is accepted, by other
// means than Parse has: encoding/json's map, which compares names exactly.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if m.Kind != 0 || m.ID != nil || m.Method != "" {
				t.Fatalf("%+v beside %v", m, err)
			}
			return
		}
		if !utf8.Valid(b) || !json.Valid(b) {
			t.Fatal("accepted what is not JSON")
		}
		if m.Kind == Batch {
			all, err := ParseBatch(b)
			for _, m := range all {
				if err != nil || m.Kind == Batch || m.Kind == 0 {
					t.Fatalf("%+v beside %v", all, err)
				}
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatal(err)
		}
		if n := names(b); n != len(members) {
			t.Fatalf("%d names, of which %d differ", n, len(members))
		}
		if id := members["id"]; m.ID != nil && (!bytes.Equal(id, m.ID) || !bytes.Contains(b, m.ID)) || m.ID == nil && id != nil && string(id) != "null" {
			t.Fatalf("id %q, want %q", m.ID, id)
		}
		if params := members["params"]; m.Params != nil && !bytes.Equal(params, m.Params) || string(members["result"]) != string(m.Result) {
			t.Fatalf("params %q, result %q", m.Params, m.Result)
		}
		var method string
		json.Unmarshal(members["method"], &method)
		if m.Method != method || (m.Kind == Request) != (m.ID != nil && members["method"] != nil) {
			t.Fatalf("%+v", m)
		}
		answer := ErrorBody(m.ID, -32000, m.Method, m)
		if a, err := Parse(answer); err != nil || a.Kind != Response || !bytes.Equal(a.ID, m.ID) {
			t.Fatalf("%s: %+v, %v", answer, a, err)
		}
	})
}

// names counts the members of the object b by the colons outside of strings
// and of what is nested.
func names(b []byte) (n int) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 1:
			n++
		}
	}
	return n
}
