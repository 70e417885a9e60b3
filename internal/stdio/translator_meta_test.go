package stdio

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func TestMetaIsPutInAndEveryOtherByteStays(t *testing.T) {
	t.Parallel()
	add := []member{{"v", []byte(`"1"`)}, {"c", []byte(`{"a":1}`)}}
	for in, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"m"}`:                                         `{"params":{"_meta":{"v":"1","c":{"a":1}}},"jsonrpc":"2.0","id":1,"method":"m"}`,
		` {"jsonrpc":"2.0", "id":1,"method":"m","params":{}} `:                          ` {"jsonrpc":"2.0", "id":1,"method":"m","params":{"_meta":{"v":"1","c":{"a":1}}}} `,
		`{"jsonrpc":"2.0","params": { } ,"id":1,"method":"m"}`:                          `{"jsonrpc":"2.0","params": {"_meta":{"v":"1","c":{"a":1}} } ,"id":1,"method":"m"}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":null}`:                           `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":"1","c":{"a":1}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":1e3,"y":"\u0061"}}`:         `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":"1","c":{"a":1}},"x":1e3,"y":"\u0061"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":1,"_meta":{}}}`:             `{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":1,"_meta":{"v":"1","c":{"a":1}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":null}}`:                 `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":"1","c":{"a":1}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{ "progressToken":7}}}`: `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":"1","c":{"a":1}, "progressToken":7}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"c":2,"\u0076":3}}}`:   `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"c":2,"\u0076":3}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","par\u0061ms":{"x":{"_meta":{}}}}`:        `{"jsonrpc":"2.0","id":1,"method":"m","par\u0061ms":{"_meta":{"v":"1","c":{"a":1}},"x":{"_meta":{}}}}`,
	} {
		before := bytes.Clone([]byte(in))
		got, err := withMeta(before, add)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n  %s, want\n  %s", in, err, got, want)
		}
		if string(before) != in {
			t.Errorf("%s: the message itself was changed", in)
		}
	}
	for _, in := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"m","params":[]}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":1}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"a":2}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{},"_met\u0061":{}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"a":1,"a":1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":[]}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{},"params":{}}`,
	} {
		if got, err := withMeta([]byte(in), add); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestMetaOfTheModernEraIsTakenOut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"params":{"a":[1, 2],"_meta":` + modernMeta + `},"id":1}`:                         `{"params":{"a":[1, 2],"_meta":{}},"id":1}`,
		`{"params":{"_meta":{"p":{"x" : 1},"io.modelcontextprotocol\/protocolVersion":2}}}`: `{"params":{"_meta":{"p":{"x" : 1}}}}`,
	} {
		if got := string(withoutMeta([]byte(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// FuzzMeta holds that a request to which something has been said in its _meta is
// the same request, with just that in it, and that what was there wins.
func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m"}`), "v")
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":{}}}}`), "v")
	f.Add([]byte(` {"params" : {"\u005fmeta" : { } }, "jsonrpc":"2.0","id":1,"method":"m"}`), "\n")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		m, err := jsonrpc.Parse(raw)
		if err != nil || m.Kind != jsonrpc.Request {
			return
		}
		_ = json.Unmarshal(quoted(name), &name) // as JSON can have it
		got, err := withMeta(raw, []member{{name, []byte(`"said"`)}, {"other", []byte(`[2]`)}})
		if err != nil {
			return
		}
		after, err := jsonrpc.Parse(got)
		if err != nil || after.Kind != m.Kind || after.Method != m.Method || !bytes.Equal(after.ID, m.ID) {
			t.Fatalf("%s became %s: %v", raw, got, err)
		}
		params, err := jsonrpc.Object(after.Params)
		if err != nil {
			t.Fatal(err)
		}
		meta, err := jsonrpc.Object(params["_meta"])
		if err != nil {
			t.Fatal(err)
		}
		had := map[string]json.RawMessage{}
		if m.Params != nil {
			was, _ := jsonrpc.Object(m.Params)
			if len(was["_meta"]) > 0 {
				had, _ = jsonrpc.Object(was["_meta"])
			}
		}
		want := "\"said\""
		if had[name] != nil {
			want = string(had[name])
		}
		if name != "other" && string(meta[name]) != want {
			t.Fatalf("%s became %s", raw, got)
		}
		for n, v := range had {
			if !bytes.Equal(meta[n], v) {
				t.Fatalf("%s became %s: %s", raw, got, n)
			}
		}
		if !subsequence(raw, got) && string(m.Params) != "null" && !bytes.Contains(raw, []byte("null")) {
			t.Fatalf("%s became %s: bytes are missing", raw, got)
		}
	})
}

// subsequence reports whether all bytes of part are in all, in order.
func subsequence(part, all []byte) bool {
	for _, c := range all {
		if len(part) > 0 && part[0] == c {
			part = part[1:]
		}
	}
	return len(part) == 0
}
