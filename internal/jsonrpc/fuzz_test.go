package jsonrpc

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds that a message is accepted if and only if it is one by other
// means than Parse has, encoding/json's map and a count of the names, and what
// is then true of it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m"}`))
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"method":"m"},{"jsonrpc":"2.0","method":"n"}]`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":"x","result":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if want := kindOf(b); m.Kind != want {
			t.Fatalf("kind %d, want %d: %v", m.Kind, want, err)
		}
		if _, err := ParseBatch(b); (err == nil) != messages(b) {
			t.Fatalf("as a batch: %v", err)
		}
		if members, err := Object(b); (err == nil) != (membersOf(b) != nil) || len(members) != len(membersOf(b)) {
			t.Fatalf("as an object: %q, %v", members, err)
		}
		want, isArray := elements(b)
		if got, err := Elements(b, len(b)); (err == nil) != isArray || !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("elements %q, %v, want %q", got, err, want)
		}
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

// kindOf says what b is, 0 if it is no message.
func kindOf(b []byte) Kind {
	if _, ok := elements(b); ok {
		return Batch
	}
	members := membersOf(b)
	has := func(name string) int {
		if _, ok := members[name]; ok {
			return 1
		}
		return 0
	}
	id, ok := any(nil), true
	if has("id") == 1 {
		d := json.NewDecoder(bytes.NewReader(members["id"]))
		d.UseNumber()
		ok = d.Decode(&id) == nil
	}
	switch id.(type) {
	case nil, string, json.Number:
		ok = ok && (id == nil || len(members["id"]) <= maxID)
	default:
		ok = false
	}
	switch {
	case !ok || !isText(members["jsonrpc"], "2.0") || has("method")+has("result")+has("error") != 1:
		return 0
	case has("method") == 0:
		return Response
	case !isText(members["method"], ""):
		return 0
	case id == nil:
		return Notification
	}
	return Request
}

// isText reports whether b is a string, and that one if it is not empty.
func isText(b json.RawMessage, want string) bool {
	var v any
	json.Unmarshal(b, &v)
	s, ok := v.(string)
	return ok && (want == "" || s == want)
}

// messages reports whether b is a batch of messages.
func messages(b []byte) bool {
	all, ok := elements(b)
	for _, m := range all {
		if kind := kindOf(m); kind == 0 || kind == Batch {
			return false
		}
	}
	return ok
}

func elements(b []byte) (all []json.RawMessage, ok bool) {
	var v any
	if !utf8.Valid(b) || json.Unmarshal(b, &v) != nil {
		return nil, false
	}
	if _, ok := v.([]any); !ok {
		return nil, false
	}
	return all, json.Unmarshal(b, &all) == nil
}

// membersOf returns the members of the object b, nil if it is none or a name
// occurs twice.
func membersOf(b []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if !utf8.Valid(b) || json.Unmarshal(b, &members) != nil || members == nil || names(b) != len(members) {
		return nil
	}
	return members
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
