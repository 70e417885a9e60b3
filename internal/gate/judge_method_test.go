package gate

import (
	"strings"
	"testing"
)

// TestMethodThatThereIsNotIsAnsweredAsServersDo: by the code of JSON-RPC, and since
// MCP 2026-07-28 by 404, which before meant a lost session.
func TestMethodThatThereIsNotIsAnsweredAsServersDo(t *testing.T) {
	t.Parallel()
	url, got := recorder(t)
	f := stand(t, Options{Routes: []Route{{Path: "/", Mode: Optional, Resources: []Grant{{Pattern: "*"}}}}}, url)
	const (
		own     = `{"jsonrpc":"2.0","id":1,"method":"own/method"}`
		bare    = `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"_meta":{}}}`
		unsub   = `{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"_meta":{}}}`
		named   = `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}}`
		reading = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"_meta":{}}}`
		version = "Mcp-Protocol-Version"
		two     = `[{"jsonrpc":"2.0","id":1,"method":"own/method"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]`
	)
	for name, tt := range map[string]struct {
		body   string
		header []string
		status int
		code   string // of the error; "": it is passed on
	}{
		"without a version":           {own, nil, 200, "-32601 "},
		"before":                      {own, []string{version, "2025-11-25"}, 200, "-32601 "},
		"since":                       {own, []string{version, "2026-07-28"}, 404, "-32601 "},
		"later":                       {own, []string{version, "2027-01-01"}, 404, "-32601 "},
		"two versions":                {own, []string{version, "2026-07-28", version, "2026-07-28"}, 200, "-32601 "},
		"no version":                  {own, []string{version, "9999"}, 200, "-32601 "},
		"in a batch":                  {two, []string{version, "2025-03-26"}, 200, "-32601 "},
		"removed, before":             {bare, []string{version, "2025-11-25"}, 400, "-32016 "},
		"removed, since":              {bare, []string{version, "2026-07-28"}, 404, "-32601 "},
		"removed, the other":          {unsub, []string{version, "2026-07-28"}, 404, "-32601 "},
		"removed, but named":          {named, []string{version, "2026-07-28"}, 200, ""},
		"not removed, and names none": {reading, []string{version, "2026-07-28"}, 400, "-32016 "},
		"removed, in a batch":         {"[" + bare + "]", []string{version, "2026-07-28"}, 400, "-32016 "},
		"a notification":              {strings.Replace(own, `"id":1,`, "", 1), []string{version, "2026-07-28"}, 404, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := f.do(t, f.post(t, "", tt.body, tt.header...))
			<-f.done
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tt.status, body)
			}
			if tt.code == "" {
				if len(got) != 1 || <-got != tt.body {
					t.Error("it did not arrive as it was")
				}
				return
			}
			if tt.code != "none" && !strings.HasPrefix(errorsIn(t, body)["1"], tt.code) {
				t.Errorf("it was answered %s, want %s", body, tt.code)
			}
			if len(got) != 0 {
				t.Errorf("%s was passed on", <-got)
			}
		})
	}
}
