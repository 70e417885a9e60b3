package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// FuzzJudge has one judge what strangers send. Whatever is passed on, a reader
// that folds case and takes the last of two members, as encoding/json, and one
// that compares exactly find the same in it, and that is allowed.
func FuzzJudge(f *testing.F) {
	for _, body := range hostileMessages() {
		if len(body) < 500 {
			f.Add([]byte(body), "", "")
		}
	}
	f.Add([]byte(calling(1, "echo")), "tools/call", "echo")
	f.Add([]byte(calling(1, "echo")), "tools/list", "=?base64?ZWNobw==?=")
	f.Add([]byte("["+calling(1, "echo")+","+calling(2, "secret")+"]"), "", "")
	f.Add([]byte("["+calling(1, "echo")+`,{"jsonrpc":"2.0","method":"notifications/cancelled"}]`), "", "")
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///public/%2e%2e/secret"}}`), "", "")
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"file:///public/a"}}}`), "", "")
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///public/a","file:///secret"]}}}`), "", "")
	var passed []byte
	g, err := New(Options{
		PublicURL: &url.URL{Scheme: "http", Host: "gate.test"}, Log: slog.New(slog.DiscardHandler), BodyLimit: 4 << 10,
		Verify: func(context.Context, string) (*verify.Caller, error) { return user("use"), nil },
		Routes: []Route{{
			Path: "/", Upstreams: []*url.URL{{Scheme: "http", Host: "upstream.test"}},
			Tools: []Grant{grant("echo", Needs{}), grant("secret", roles("None")), grant("get-*", Needs{})}, Prompts: []Grant{grant("p*", Needs{})},
			Resources: []Grant{grant("file:///public/*", Needs{})},
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, u := range g.routes[0].upstreams {
		u.transport.RegisterProtocol("http", roundTripper(func(r *http.Request) (*http.Response, error) {
			passed, _ = io.ReadAll(r.Body)
			return &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}))
	}
	f.Fuzz(func(t *testing.T, body []byte, method, name string) {
		r := httptest.NewRequest(http.MethodPost, "http://gate.test/", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		for field, value := range map[string]string{"Mcp-Method": method, "Mcp-Name": name} {
			if value != "" {
				r.Header.Set(field, value)
			}
		}
		passed = nil
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if passed == nil {
			if w.Code == http.StatusAccepted {
				t.Fatal("neither passed on nor refused")
			}
			return
		}
		if !bytes.Equal(passed, body) {
			t.Fatalf("%q became %q", body, passed)
		}
		for _, m := range elementsOf(t, passed) {
			mayPass(t, m)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// elementsOf returns the messages that a reader without doubts finds.
func elementsOf(t *testing.T, b []byte) []json.RawMessage {
	t.Helper()
	if !utf8.Valid(b) {
		t.Fatalf("not UTF-8: %q", b)
	}
	var all []json.RawMessage
	if json.Unmarshal(b, &all) == nil {
		return all
	}
	return []json.RawMessage{b}
}

// lax is what a reader that folds case and takes the last member finds.
type lax struct {
	Method string
	Params struct {
		Name, URI     string
		Ref           struct{ Type, Name, URI string }
		Notifications struct{ ResourceSubscriptions []string }
	}
}

// strict is what one finds that compares names exactly, and takes the last.
func strict(m json.RawMessage) (found lax) {
	var top, params, ref, wanted map[string]json.RawMessage
	_ = json.Unmarshal(m, &top)
	_ = json.Unmarshal(top["method"], &found.Method)
	_ = json.Unmarshal(top["params"], &params)
	_ = json.Unmarshal(params["name"], &found.Params.Name)
	_ = json.Unmarshal(params["uri"], &found.Params.URI)
	_ = json.Unmarshal(params["ref"], &ref)
	_ = json.Unmarshal(ref["type"], &found.Params.Ref.Type)
	_ = json.Unmarshal(ref["name"], &found.Params.Ref.Name)
	_ = json.Unmarshal(ref["uri"], &found.Params.Ref.URI)
	_ = json.Unmarshal(params["notifications"], &wanted)
	_ = json.Unmarshal(wanted["resourceSubscriptions"], &found.Params.Notifications.ResourceSubscriptions)
	return found
}

// mayPass holds by its own means that both readers find what is allowed.
func mayPass(t *testing.T, m json.RawMessage) {
	t.Helper()
	var folded lax
	_ = json.Unmarshal(m, &folded)
	exact := strict(m)
	if exact.Method != folded.Method {
		t.Fatalf("method %q and %q: %q", exact.Method, folded.Method, m)
	}
	for _, found := range []lax{exact, folded} {
		tool := found.Params.Name == "echo" || strings.HasPrefix(found.Params.Name, "get-")
		prompt := func(name string) bool { return strings.HasPrefix(name, "p") }
		resource := func(uri string) bool {
			return strings.HasPrefix(uri, "file:///public/") && !strings.Contains(uri, "/../") && !strings.Contains(strings.ToLower(uri), "%2e%2e/")
		}
		ok := true
		switch found.Method {
		case "tools/call":
			ok = tool
		case "prompts/get":
			ok = prompt(found.Params.Name)
		case "resources/read", "resources/subscribe", "resources/unsubscribe":
			ok = resource(found.Params.URI)
		case "completion/complete":
			ref := found.Params.Ref
			ok = ref.Type == "ref/prompt" && prompt(ref.Name) || ref.Type == "ref/resource" && resource(ref.URI)
		case "subscriptions/listen":
			for _, uri := range found.Params.Notifications.ResourceSubscriptions {
				ok = ok && resource(uri)
			}
		case "initialize", "ping", "server/discover", "logging/setLevel", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
			"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update", "":
		default:
			ok = strings.HasPrefix(found.Method, "notifications/")
		}
		if !ok {
			t.Fatalf("passed on: %+v in %q", found, m)
		}
	}
}

// FuzzScreen has lists screened on event streams, cut anywhere, and in JSON. No
// reader finds a name in what is shown that is hidden, and what has no list is
// shown as it was.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("data: "+listed+"\n\n"), uint16(7), true)
	f.Add([]byte("id: 1\r\ndata: {\"id\":1,\r\ndata: \"result\":{\"tools\":[{\"name\":\"hidden\"}]}}\r\n\r\n: x\r\n"), uint16(3), true)
	f.Add([]byte("\xef\xbb\xbfdata:"+listed+"\r\rdata: {}\r\r"), uint16(1), true)
	f.Add([]byte("data: "+listed), uint16(5), true)
	f.Add([]byte(listed), uint16(5), false)
	f.Add([]byte("["+listed+","+listed+"]"), uint16(5), false)
	for in := range unreadableLists() {
		f.Add([]byte(in), uint16(9), false)
		f.Add([]byte("data: "+in+"\n\n"), uint16(9), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint16, events bool) {
		if !events {
			if out, err := hiding(true).message(in); err == nil {
				holdsNothingHidden(t, out)
			}
			return
		}
		b := newScreened(io.NopCloser(&pieces{in, int(size%1000) + 1}), hiding(true))
		b.cut.Limit = 1000
		out, err := io.ReadAll(b)
		for _, data := range dataOf(out) {
			holdsNothingHidden(t, []byte(data))
		}
		if err != nil {
			return
		}
		whole, err := io.ReadAll(newScreened(io.NopCloser(bytes.NewReader(in)), hiding(true)))
		if err != nil || !bytes.Equal(whole, out) {
			t.Fatalf("in pieces %q, at once %q, %v", out, whole, err)
		}
		if !bytes.ContainsAny(in, "{[") && !bytes.Equal(bytes.TrimPrefix(in, []byte("\xef\xbb\xbf")), out) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

// pieces is read a few bytes at a time.
type pieces struct {
	b    []byte
	size int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.b[:min(p.size, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

// dataOf returns the data of all events, also of one without an end, as a reader
// of the standard and a sloppy one find it.
func dataOf(stream []byte) (all []string) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(stream), "\r\n", "\n"), "\r", "\n")
	var lines []string
	for _, line := range append(strings.Split(text, "\n"), "") {
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			lines = append(lines, strings.TrimPrefix(value, " "))
		}
		if line == "" && lines != nil {
			all = append(all, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	return all
}

// holdsNothingHidden reads b as two readers do that mind nothing.
func holdsNothingHidden(t *testing.T, b []byte) {
	t.Helper()
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	all := []json.RawMessage{b}
	_ = json.Unmarshal(b, &all)
	for _, m := range all {
		var folded struct {
			Result struct {
				Tools, Prompts    []struct{ Name string }
				Resources         []struct{ URI string }
				ResourceTemplates []struct{ URITemplate string }
			}
		}
		_ = json.Unmarshal(m, &folded)
		var names []string
		for _, e := range append(folded.Result.Tools, folded.Result.Prompts...) {
			names = append(names, e.Name)
		}
		for _, e := range folded.Result.Resources {
			names = append(names, e.URI)
		}
		for _, e := range folded.Result.ResourceTemplates {
			names = append(names, e.URITemplate)
		}
		var top map[string]json.RawMessage
		_ = json.Unmarshal(m, &top)
		var result map[string]json.RawMessage
		_ = json.Unmarshal(top["result"], &result)
		for member, key := range map[string]string{"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"} {
			var list []map[string]any
			_ = json.Unmarshal(result[member], &list)
			for _, e := range list {
				name, _ := e[key].(string)
				names = append(names, name)
			}
		}
		for _, name := range names {
			if name == "hidden" {
				t.Fatalf("shown: %q", m)
			}
		}
	}
}
