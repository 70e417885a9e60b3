package jsonrpc

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestMessageIsReadAsItWasSent(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", maxID-2) + `"`
	for _, tt := range []struct {
		in, id, method string
		kind           Kind
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"id":2,"method":"x"}}`, `1`, "tools/call", Request},
		{" \r\n\t{ \"method\" : \"m\" ,\n \"id\" :\t\"a\" , \"jsonrpc\" : \"2.0\" } \n", `"a"`, "m", Request},
		{`{"jsonrpc":"2.0","id":9007199254740993,"method":"m"}`, `9007199254740993`, "m", Request},
		{`{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m"}`, `123456789012345678901234567890`, "m", Request},
		{`{"jsonrpc":"2.0","id":-0,"method":"m"}`, `-0`, "m", Request},
		{`{"jsonrpc":"2.0","id":1e3,"method":"m"}`, `1e3`, "m", Request},
		{`{"jsonrpc":"2.0","id":1.50,"method":"m"}`, `1.50`, "m", Request},
		{`{"jsonrpc":"2.0","id":1E400,"method":"m"}`, `1E400`, "m", Request},
		{`{"jsonrpc":"2.0","id":"\u0061\/<&>\ud83d\ude00","method":"m"}`, `"\u0061\/<&>\ud83d\ude00"`, "m", Request},
		{`{"jsonrpc":"2.0","id":"grüß\\\"","method":"m"}`, `"grüß\\\""`, "m", Request},
		{`{"jsonrpc":"2.0","id":"\ud800","method":"m"}`, `"\ud800"`, "m", Request},
		{`{"jsonrpc":"2.0","id":"","method":""}`, `""`, "", Request},
		{`{"jsonrpc":"2.0","id":` + long + `,"method":"m"}`, long, "m", Request},
		{`{"\u006asonrpc":"\u0032.0","\u0069d":7,"m\u0065thod":"\u006d"}`, `7`, "m", Request},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, ``, "notifications/initialized", Notification},
		{`{"jsonrpc":"2.0","id":null,"method":"m"}`, ``, "m", Notification},
		{`{"jsonrpc":"2.0","ID":1,"Id":2,"method":"m"}`, ``, "m", Notification},
		{`{"jsonrpc":"2.0","id":1,"ID":2,"method":"m","Method":"n"}`, `1`, "m", Request},
		{`{"jsonrpc":"2.0","id":3,"result":null}`, `3`, "", Response},
		{`{"jsonrpc":"2.0","id":"3","error":{"code":1,"message":"x"}}`, `"3"`, "", Response},
		{`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, ``, "", Response},
		{`[{"jsonrpc":"2.0","id":1,"method":"m"}]`, ``, "", Batch},
		{` []`, ``, "", Batch},
	} {
		got, err := Parse([]byte(tt.in))
		if err != nil || got.Kind != tt.kind || string(got.ID) != tt.id || got.Method != tt.method || (got.ID == nil) != (tt.id == "") {
			t.Errorf("%.100s: kind %d, id %.50s, method %q, %v", tt.in, got.Kind, got.ID, got.Method, err)
		}
	}
}

func TestAmbiguousMessageIsRefused(t *testing.T) {
	t.Parallel()
	secret := "do-not-repeat"
	for name, in := range map[string]string{
		"empty":                  ``,
		"space":                  ` `,
		"byte order mark":        "\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"m"}`,
		"two messages":           `{"jsonrpc":"2.0","id":1,"method":"m"}{"jsonrpc":"2.0","id":2,"method":"m"}`,
		"something behind":       `{"jsonrpc":"2.0","id":1,"method":"m"}` + secret,
		"nothing behind a comma": `{"jsonrpc":"2.0","id":1,"method":"m",}`,
		"cut":                    `{"jsonrpc":"2.0","id":1,"method":"` + secret,
		"id twice":               `{"jsonrpc":"2.0","id":1,"method":"m","id":2}`,
		"id twice, once escaped": `{"jsonrpc":"2.0","id":1,"method":"m","\u0069d":2}`,
		"the same id twice":      `{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}`,
		"id and null":            `{"jsonrpc":"2.0","id":1,"id":null,"method":"m"}`,
		"method twice":           `{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}`,
		"version twice":          `{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"m"}`,
		"any name twice":         `{"jsonrpc":"2.0","id":1,"method":"m","` + secret + `":1,"` + secret + `":1}`,
		"invalid UTF-8 in id":    `{"jsonrpc":"2.0","id":"` + "\xff" + `","method":"m"}`,
		"invalid UTF-8 in name":  `{"jsonrpc":"2.0","id":1,"method":"m","` + "\xc0\xae" + `":1}`,
		"surrogate in UTF-8":     `{"jsonrpc":"2.0","id":"` + "\xed\xa0\x80" + `","method":"m"}`,
		"UTF-16":                 "\xfe\xff\x00{\x00}",
		"line in id":             "{\"jsonrpc\":\"2.0\",\"id\":\"a\nb\",\"method\":\"m\"}",
		"id too long":            `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", maxID-1) + `","method":"m"}`,
		"number too long":        `{"jsonrpc":"2.0","id":` + strings.Repeat("9", maxID+1) + `,"method":"m"}`,
		"id is true":             `{"jsonrpc":"2.0","id":true,"method":"m"}`,
		"id is an object":        `{"jsonrpc":"2.0","id":{"a":1},"method":"m"}`,
		"id is an array":         `{"jsonrpc":"2.0","id":[1],"method":"m"}`,
		"id with a leading zero": `{"jsonrpc":"2.0","id":01,"method":"m"}`,
		"id with a plus":         `{"jsonrpc":"2.0","id":+1,"method":"m"}`,
		"id is hexadecimal":      `{"jsonrpc":"2.0","id":0x1,"method":"m"}`,
		"id is not a number":     `{"jsonrpc":"2.0","id":NaN,"method":"m"}`,
		"id is in single quotes": `{"jsonrpc":"2.0","id":'1',"method":"m"}`,
		"method is a number":     `{"jsonrpc":"2.0","id":1,"method":1}`,
		"method is null":         `{"jsonrpc":"2.0","id":1,"method":null}`,
		"method and result":      `{"jsonrpc":"2.0","id":1,"method":"m","result":1}`,
		"method and error":       `{"jsonrpc":"2.0","id":1,"method":"m","error":null}`,
		"result and error":       `{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`,
		"none of them":           `{"jsonrpc":"2.0","id":1}`,
		"no version":             `{"id":1,"method":"m"}`,
		"version 1":              `{"jsonrpc":"1.0","id":1,"method":"m"}`,
		"version is a number":    `{"jsonrpc":2.0,"id":1,"method":"m"}`,
		"name in capitals":       `{"JSONRPC":"2.0","id":1,"method":"m"}`,
		"string":                 `"` + secret + `"`,
		"number":                 `1`,
		"null":                   `null`,
		"deep":                   strings.Repeat("[", 1<<20),
		"deep inside":            `{"jsonrpc":"2.0","id":1,"method":"m","params":` + strings.Repeat("[", 1<<16) + strings.Repeat("]", 1<<16) + `}`,
		"form":                   `grant_type=client_credentials&client_secret=` + secret,
	} {
		m, err := Parse([]byte(in))
		if err == nil || m.Kind != 0 || m.ID != nil || m.Method != "" {
			t.Errorf("%s: %+v, %v", name, m, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the message: %v", name, err)
		}
	}
}

func TestErrorRepeatsTheIDByteForByte(t *testing.T) {
	t.Parallel()
	for _, id := range []string{`1`, `1e3`, `9007199254740993`, `"<&>` + "\u2028" + `\u0061"`, `"\ud800"`} {
		b := ErrorBody(json.RawMessage(id), -32000, "a \"message\"\n\xff", map[string]string{"hint": "x"})
		if want := `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32000,"message":`; !strings.HasPrefix(string(b), want) {
			t.Errorf("%s: %s", id, b)
		}
		if m, err := Parse(b); err != nil || m.Kind != Response || string(m.ID) != id {
			t.Errorf("%s: %+v, %v", b, m, err)
		}
	}
	for name, tt := range map[string]struct {
		id, data any
		want     string
	}{
		"no id":             {nil, nil, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`},
		"data":              {nil, []int{1}, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m","data":[1]}}`},
		"data of no JSON":   {nil, math.NaN(), `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`},
		"data that is null": {nil, (*int)(nil), `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m","data":null}}`},
	} {
		if got := string(ErrorBody(nil, 1, "m", tt.data)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
