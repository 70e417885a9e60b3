package gate

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// recorder is an upstream that answers each request with an empty result and
// tells what it was sent.
func recorder(t *testing.T) (url string, got chan string) {
	t.Helper()
	got = make(chan string, 100)
	ts := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	return ts.URL, got
}

// post returns a POST as whom the token is of.
func (f *front) post(t *testing.T, token, body string, header ...string) *http.Request {
	t.Helper()
	req := f.request(t, http.MethodPost, "/", body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Del("Authorization")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// errorsIn returns the text of each error in an answer by its id.
func errorsIn(t *testing.T, body string) map[string]string {
	t.Helper()
	all := []json.RawMessage{json.RawMessage(body)}
	if strings.HasPrefix(body, "[") {
		all = nil
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]string{}
	for _, b := range all {
		var e struct {
			ID    json.RawMessage
			Error *struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal(b, &e); err != nil || e.Error == nil || len(e.ID) == 0 {
			t.Fatalf("not an error: %s", body)
		}
		found[string(e.ID)] = fmt.Sprintf("%d %s", e.Error.Code, e.Error.Message)
	}
	return found
}

func calling(id int, name string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q}}`, id, name)
}

// TestDenialIsAChallengeOnlyIfASignInCanMendIt holds all shapes of a refusal.
func TestDenialIsAChallengeOnlyIfASignInCanMendIt(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, nil, upstream)
	const all = `scope="api://gate/use api://gate/cost.read api://gate/cost.admin"`
	for _, tt := range []struct {
		name, token, body string
		status            int
		challenge         string // "": none; parts of it otherwise, divided by |
		says              string // in the error's text
		denied            string
	}{
		{"scope", "use", calling(1, "cost_read"), 403, `Bearer error="insufficient_scope"|resource_metadata="|` + all, `"cost_read" is denied. It takes the scope api://gate/cost.read or the scope api://gate/cost.admin or the role Reader`, deniedScope},
		{"only a role", "use", calling(1, "shutdown"), 200, "", "the role Operator, and signing in again does not change that", deniedRole},
		{"application without the role", "app-Reader", calling(1, "shutdown"), 200, "", "an administrator has to assign to the application", deniedRole},
		{"application where a scope is needed", "app-Reader", calling(1, "cost_export"), 200, "", "which only users can have", deniedScope},
		{"nobody may", "use", calling(1, "wipe"), 200, "", "Nobody may have it", deniedUnmapped},
		{"nobody may, anonymous", "", calling(1, "wipe"), 200, "", "Nobody may have it", deniedUnmapped},
		{"anonymous", "", calling(1, "cost_read"), 401, `Bearer resource_metadata="|` + all, "It takes a sign-in", deniedNoToken},
		{"anonymous, only a role", "", calling(1, "shutdown"), 401, `scope="api://gate/use"`, "It takes a sign-in, with the role Operator", deniedNoToken},
		{"unknown method", "use", `{"jsonrpc":"2.0","id":1,"method":"own/method"}`, 200, "", `The method "own/method" is denied. Nobody may send it`, deniedMethod},
		{"URI that climbs", "use", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///public/../x"}}`, 200, "", "dot segments", deniedUnmapped},
		{"two subscriptions, one that a scope mends", "use", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["db://a","file:///x"]}}}`, 200, "", `resource "file:///x"`, deniedUnmapped},
		{"a subscription that a scope mends", "use", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///public/a","db://a"]}}}`, 403, `scope="api://gate/use api://gate/db"`, `resource "db://a"`, deniedScope},
		{"notification", "use", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"wipe"}}`, 403, "", "", deniedUnmapped},
		{"notification that a scope mends", "use", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"cost_read"}}`, 403, `insufficient_scope`, "", deniedScope},
		{"id of null", "use", `{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"wipe"}}`, 403, "", "", deniedUnmapped},
	} {
		res, body := f.do(t, f.post(t, tt.token, tt.body))
		seen := <-f.done
		if res.StatusCode != tt.status || seen.Denied != tt.denied || seen.Allowed || seen.Name == "" && tt.denied != deniedMethod {
			t.Errorf("%s: %d, seen %+v: %s", tt.name, res.StatusCode, seen, body)
		}
		challenge := res.Header.Get("WWW-Authenticate")
		if (challenge == "") != (tt.challenge == "") || strings.Contains(challenge, "cost_read") || (tt.status == 401) == strings.Contains(challenge, "error=") && challenge != "" {
			t.Errorf("%s: challenge %s", tt.name, challenge)
		}
		for _, part := range strings.Split(tt.challenge, "|") {
			if !strings.Contains(challenge, part) {
				t.Errorf("%s: challenge %s lacks %s", tt.name, challenge, part)
			}
		}
		if tt.says == "" {
			if res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %s", tt.name, body)
			}
		} else if text := errorsIn(t, body)["1"]; !strings.Contains(text, tt.says) || !strings.HasPrefix(text, map[bool]string{true: "-32601 ", false: "-32016 "}[tt.denied == deniedMethod]) {
			t.Errorf("%s: %s", tt.name, text)
		}
		if len(got) != 0 {
			t.Fatalf("%s: was passed on: %s", tt.name, <-got)
		}
	}
}

func TestOfABatchNothingIsDoneByHalf(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, nil, upstream)
	echo, note := calling(1, "echo"), `{"jsonrpc":"2.0","method":"notifications/cancelled"}`
	for _, tt := range []struct {
		name, token, batch string
		status             int
		denied             string // ids of the requests that are, with part of the reason
	}{
		{"one of nobody's", "use", echo + "," + note + "," + calling(2, "wipe"), 200, "2 Nobody"},
		{"one that a scope mends", "use", calling(2, "cost_read") + "," + echo, 403, "2 cost.read"},
		{"two that scopes mend", "use", calling(2, "cost_read") + "," + echo + "," + calling(3, "cost_export"), 403, "2 cost.read|3 cost.export"},
		{"one that a scope mends and one that it does not", "use", calling(2, "cost_read") + "," + echo + "," + calling(3, "shutdown"), 200, "2 cost.read|3 Operator"},
		{"a notification", "use", echo + `,{"jsonrpc":"2.0","method":"tools/call","params":{"name":"wipe"}}`, 200, ""},
		{"anonymous", "", echo + "," + calling(2, "cost_read"), 401, "2 sign-in"},
	} {
		res, body := f.do(t, f.post(t, tt.token, "["+tt.batch+"]"))
		if seen := <-f.done; res.StatusCode != tt.status || seen.Message != "batch" || seen.Denied == "" {
			t.Errorf("%s: %d, %+v", tt.name, res.StatusCode, seen)
		}
		if strings.HasPrefix(tt.name, "two") && !strings.Contains(res.Header.Get("WWW-Authenticate"), `scope="api://gate/use api://gate/cost.read api://gate/cost.admin api://gate/cost.export"`) {
			t.Errorf("%s: %s", tt.name, res.Header.Get("WWW-Authenticate"))
		}
		texts := errorsIn(t, body)
		if len(texts) != strings.Count(tt.batch, `"id":`) || !strings.Contains(texts["1"], notDone) {
			t.Errorf("%s: %s", tt.name, body)
		}
		for _, want := range strings.Split(tt.denied, "|") {
			if id, why, ok := strings.Cut(want, " "); ok && !strings.Contains(texts[id], why) {
				t.Errorf("%s: %s lacks %s", tt.name, texts[id], why)
			}
		}
		if len(got) != 0 {
			t.Fatalf("%s: was passed on: %s", tt.name, <-got)
		}
	}
	batch := "[" + echo + "," + note + "]"
	if res, body := f.do(t, f.post(t, "use", batch)); res.StatusCode != 200 || len(got) != 1 || <-got != batch {
		t.Errorf("a batch that is allowed: %d %s", res.StatusCode, body)
	}
}

func TestUnclearMessageIsNotPassedOn(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, func(o *Options) { o.Routes[0].Tools = append(o.Routes[0].Tools, grant("*", Needs{})) }, upstream)
	for name, body := range hostileMessages() {
		res, text := f.do(t, f.post(t, "use", body))
		if seen := <-f.done; res.StatusCode != http.StatusBadRequest && (body != "" || res.StatusCode/100 != 4) || seen.Denied != deniedMessage {
			t.Errorf("%s: %d %q: %s", name, res.StatusCode, seen.Denied, text)
		}
		if m, _ := jsonrpc.Parse([]byte(body)); m.Kind == jsonrpc.Request && errorsIn(t, text)[string(m.ID)] == "" {
			t.Errorf("%s: the request has no answer: %s", name, text)
		}
		if len(got) != 0 {
			t.Fatalf("%s: was passed on: %s", name, <-got)
		}
	}
}

func TestBodyThatIsNotJSONAsItIsIsNotPassedOn(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, nil, upstream)
	var squeezed bytes.Buffer
	z := gzip.NewWriter(&squeezed)
	_, _ = io.WriteString(z, calling(1, "echo"))
	_ = z.Close()
	for _, tt := range []struct {
		name, body string
		header     []string // "" for a value removes it
		status     int
	}{
		{"gzip", squeezed.String(), []string{"Content-Encoding", "gzip"}, 415},
		{"gzip that is none", calling(1, "echo"), []string{"Content-Encoding", "gzip"}, 415},
		{"two encodings", calling(1, "echo"), []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, 415},
		{"deflate behind identity", calling(1, "echo"), []string{"Content-Encoding", "identity, deflate"}, 415},
		{"gzip without saying so", squeezed.String(), nil, 400},
		{"no type", calling(1, "echo"), []string{"Content-Type", ""}, 415},
		{"text", calling(1, "echo"), []string{"Content-Type", "text/plain"}, 415},
		{"form", calling(1, "echo"), []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"two types", calling(1, "echo"), []string{"Content-Type", "application/json", "Content-Type", "application/json"}, 415},
		{"UTF-16", calling(1, "echo"), []string{"Content-Type", "application/json; charset=utf-16"}, 415},
		{"UTF-7", calling(1, "echo"), []string{"Content-Type", "application/json; charset=\"utf-7\""}, 415},
		{"charset twice", calling(1, "echo"), []string{"Content-Type", "application/json; charset=utf-8; charset=utf-7"}, 415},
		{"a type of JSON", calling(1, "echo"), []string{"Content-Type", "application/json-patch+json"}, 415},
		{"JSON", calling(1, "echo"), nil, 200},
		{"JSON in UTF-8", calling(1, "echo"), []string{"Content-Type", "Application/JSON; charset=UTF-8; x=y", "Content-Encoding", "identity"}, 200},
	} {
		req := f.post(t, "use", tt.body)
		for i := 0; i < len(tt.header); i += 2 {
			if name := tt.header[i]; i == 0 || tt.header[i-2] != name {
				req.Header.Del(name)
			}
			if tt.header[i+1] != "" {
				req.Header.Add(tt.header[i], tt.header[i+1])
			}
		}
		res, body := f.do(t, req)
		if res.StatusCode != tt.status || (len(got) == 1) != (tt.status == 200) {
			t.Errorf("%s: %d, %d passed on: %s", tt.name, res.StatusCode, len(got), body)
		}
		for len(got) > 0 {
			<-got
		}
	}
}

func TestLargeMessageIsRefusedDeclaredOrNot(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	const limit = 100 << 10
	f := judging(t, func(o *Options) { o.BodyLimit = limit }, upstream)
	message := func(size int) string {
		head, tail := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","x":"`, `"}}`
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	for _, declared := range []bool{true, false} {
		for size, want := range map[int]int{limit: 200, limit + 1: 413} {
			req := f.post(t, "use", message(size))
			if !declared {
				req.Body, req.ContentLength, req.GetBody = io.NopCloser(req.Body), -1, nil
			}
			res, body := f.do(t, req)
			if res.StatusCode != want {
				t.Errorf("%d bytes, declared %v: %d %.200s", size, declared, res.StatusCode, body)
			}
			if want == 200 && len(<-got) != size || len(got) != 0 {
				t.Errorf("%d bytes, declared %v: not passed on as it was", size, declared)
			}
		}
	}
}

func TestFieldsMayOnlyConfirmTheBody(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, func(o *Options) { o.Routes[0].Allow = true }, upstream)
	coded := func(s string) string { return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?=" }
	batch := "[" + calling(1, "echo") + "]"
	for _, tt := range []struct {
		name, body string
		header     []string
		ok         bool
	}{
		{"none", calling(1, "echo"), nil, true},
		{"both", calling(1, "echo"), []string{"Mcp-Method", "tools/call", "Mcp-Name", "echo"}, true},
		{"in base64", calling(1, "echo"), []string{"Mcp-Name", coded("echo")}, true},
		{"not ASCII", calling(1, "écho"), []string{"Mcp-Name", coded("écho")}, true},
		{"name like base64", calling(1, coded("cost_read")), []string{"Mcp-Name", coded("cost_read")}, true},
		{"another name", calling(1, "echo"), []string{"Mcp-Name", "cost_read"}, false},
		{"another name in base64", calling(1, "echo"), []string{"Mcp-Name", coded("cost_read")}, false},
		{"another case", calling(1, "echo"), []string{"Mcp-Name", "Echo"}, false},
		{"base64 that is none", calling(1, "echo"), []string{"Mcp-Name", "=?base64?!?="}, false},
		{"empty name", calling(1, "echo"), []string{"Mcp-Name", ""}, false},
		{"name twice", calling(1, "echo"), []string{"Mcp-Name", "echo", "Mcp-Name", "echo"}, false},
		{"two names", calling(1, "echo"), []string{"Mcp-Name", "echo", "Mcp-Name", "cost_read"}, false},
		{"another method", calling(1, "echo"), []string{"Mcp-Method", "tools/list"}, false},
		{"method twice", calling(1, "echo"), []string{"Mcp-Method", "tools/call", "Mcp-Method", "tools/call"}, false},
		{"of a resource", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///public/a"}}`, []string{"Mcp-Name", "file:///public/a"}, true},
		{"of another resource", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///public/a"}}`, []string{"Mcp-Name", "file:///private/a"}, false},
		{"of a list", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, []string{"Mcp-Method", "tools/call"}, false},
		{"of a task", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}`, []string{"Mcp-Method", "tasks/get", "Mcp-Name", "t"}, true},
		{"of another task", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}`, []string{"Mcp-Name", "u"}, false},
		{"of a tool without a name", calling(1, ""), []string{"Mcp-Name", "wipe"}, false},
		{"of a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, []string{"Mcp-Method", "tools/call"}, false},
		{"of a batch", batch, []string{"Mcp-Method", "tools/call"}, false},
	} {
		res, body := f.do(t, f.post(t, "use", tt.body, tt.header...))
		if ok := len(got) == 1; ok != tt.ok || ok != (res.StatusCode == 200) {
			t.Errorf("%s: %d, passed on %v: %s", tt.name, res.StatusCode, ok, body)
		}
		if !tt.ok && tt.name != "of a response" && (res.StatusCode != 400 || !strings.HasPrefix(errorsIn(t, body)["1"], "-32020 ")) {
			t.Errorf("%s: %d %s", tt.name, res.StatusCode, body)
		}
		for len(got) > 0 {
			<-got
		}
	}
}

func TestMethodWithoutAMessageBringsNoBody(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, nil, upstream)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		req := f.post(t, "use", calling(1, "wipe"))
		req.Method = method
		if res, body := f.do(t, req); res.StatusCode != 400 || len(got) != 0 {
			t.Errorf("%s: %d %s", method, res.StatusCode, body)
		}
	}
}

// TestWhatIsAllowedReachesTheUpstreamByteForByte holds that judging changes
// nothing.
func TestWhatIsAllowedReachesTheUpstreamByteForByte(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := judging(t, nil, upstream)
	for _, body := range []string{
		" \r\n{ \"jsonrpc\" : \"2.0\", \"id\":1e0, \"method\":\"tools\\/call\",\"params\":{\"arguments\":{\"a\":1,\"a\":2,\"A\":3},\"name\":\"\\u0065cho\"} }\n\n",
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`, `{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"public"},"argument":{"name":"a","value":""}}}`,
	} {
		req := f.post(t, "use", body)
		req.Body, req.ContentLength, req.GetBody = io.NopCloser(strings.NewReader(body)), -1, nil
		res, text := f.do(t, req)
		if seen := <-f.done; res.StatusCode != 200 || !seen.Allowed || seen.Denied != "" || <-got != body {
			t.Errorf("%s: %d %s %+v", body, res.StatusCode, text, seen)
		}
	}
}

func TestPlainRouteTellsWhatItCarriesAndRefusesNothing(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := stand(t, Options{}, upstream)
	for body, want := range map[string]string{calling(1, "echo"): "tools/call echo", `{"a":1}`: " ", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}`: " ", "text": " "} {
		res, _ := f.do(t, f.post(t, canary, body))
		if seen := <-f.done; res.StatusCode != 200 || seen.Message+" "+seen.Name != want || <-got != body {
			t.Errorf("%s: %d, %+v", body, res.StatusCode, seen)
		}
	}
}

func TestLongNamesAreToldInPart(t *testing.T) {
	t.Parallel()
	upstream, _ := recorder(t)
	f := judging(t, nil, upstream)
	_, body := f.do(t, f.post(t, "use", calling(1, strings.Repeat("ä", 4000))))
	if seen := <-f.done; len(seen.Name) > mostTold+3 || !strings.HasSuffix(seen.Name, "ä…") || len(body) > 2000 {
		t.Errorf("%q, an answer of %d bytes", seen.Name, len(body))
	}
}

// TestNameThatTheBodyDoesNotHaveIsNotPassedOn holds that no upstream goes by a
// field that nothing confirms.
func TestNameThatTheBodyDoesNotHaveIsNotPassedOn(t *testing.T) {
	t.Parallel()
	names := make(chan []string, 1)
	ts := serve(t, func(_ http.ResponseWriter, r *http.Request) { names <- r.Header["Mcp-Name"] })
	f := judging(t, nil, ts.URL)
	for body, want := range map[string]int{
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`: 0, `{"jsonrpc":"2.0","id":1,"method":"tasks/list"}`: 0, "[" + calling(1, "echo") + "]": 0, calling(1, "echo"): 1,
	} {
		if res, got := f.do(t, f.post(t, "use", body, "Mcp-Name", "echo")); res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", body, res.StatusCode, got)
		}
		if got := <-names; len(got) != want {
			t.Errorf("%s: passed on with %q", body, got)
		}
	}
}

// TestURIIsToldWithoutWhatMayBeASecret holds that no password and no query of a
// resource is in a log.
func TestURIIsToldWithoutWhatMayBeASecret(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"postgres://me:hunter2@db/x?sig=hunter2": "postgres://db/x", "postgres://me:hun/ter2@db/x#hunter2": "postgres://db/x", "postgres://hunter2@db/x": "postgres://db/x", "postgres:/me:hunter2@db": "postgres:/db",
		`postgres:\\me:hunter2@db`: `postgres:\\db`, "jdbc:x://me:hunter2@db": "jdbc:db", "jdbc:sqlserver://h;password=hunter2": "jdbc:sqlserver://h", "a://b%3fhunter2": "a://b", "a://b%3Fhunter2": "a://b", "a://b%23hunter2": "a://b",
		"npm://registry/@scope/x": "npm://registry/@scope/x", "file:///a/b.txt": "file:///a/b.txt", "mailto:me@x": "mailto:me@x", "x": "x", "@": "@", ":@": ":@", "://@": "://", "\u0130%3f": "\u0130",
	} {
		if got := (subject{Resource, uri}).told(); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
	if got := (subject{Tool, "a?b@c"}).told(); got != "a?b@c" {
		t.Errorf("a tool: %s", got)
	}
	upstream, _ := recorder(t)
	f := judging(t, nil, upstream)
	f.do(t, f.post(t, "use", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"postgres://me:hunter2@db/x?sig=hunter2"}}`))
	if seen := <-f.done; seen.Name != "postgres://db/x" {
		t.Errorf("%+v", seen)
	}
}
