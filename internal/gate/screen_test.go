package gate

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// hiding is a sieve that hides what is called hidden.
func hiding(lists bool) *sieve {
	return &sieve{allowed: func(_ Kind, name string) bool { return name != "hidden" }, lists: lists, log: slog.New(slog.DiscardHandler)}
}

const (
	listed    = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"hidden"}],"nextCursor":"x"}}`
	listShown = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"x"}}`
)

func TestListsAreKnownByTheirShape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		listed: listShown,
		`{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"hidden"}]}}`:                                                 `{"jsonrpc":"2.0","id":1,"result":{"prompts":[]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"hidden","name":"x"},{"uri":"x","name":"hidden"}]}}`:         `{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"x","name":"hidden"}]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"hidden"}]}}`:                                `{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"hidden"}],"x":1,"tools":[{"name":"hidden"},{"name":"b"}]}}`:  `{"jsonrpc":"2.0","id":1,"result":{"prompts":[],"x":1,"tools":[{"name":"b"}]}}`,
		` [ {"id":1,"result":{}} , ` + listed + `,` + listed + ` ] `:                                                        ` [ {"id":1,"result":{}} , ` + listShown + `,` + listShown + ` ] `,
		`{"result":{"t\u006fols":[{"n\u0061me":"hid\u0064en"}]}}`:                                                           `{"result":{"t\u006fols":[]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":5,"cacheScope":"public"}}`:                                    `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":5,"cacheScope":"private"}}`,
		`{"jsonrpc":"2.0","id":1,"result":{ "ttlMs":5,"tools":[{"name":"hidden"}]}}`:                                        `{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private", "ttlMs":5,"tools":[]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"ttlMs":0,"cacheScope":"private"}}`:                       "",
		`{"jsonrpc":"2.0","id":1,"result":{"contents":[],"ttlMs":5,"cacheScope":"public"}}`:                                 "",
		`{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{"listChanged":true}}}}`:                                 "",
		`{"jsonrpc":"2.0","id":1,"result":{"tools":null}}`:                                                                  "",
		`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hidden"}],"structuredContent":{"tools":[1]}}}`: "",
		`{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"tools":[{"name":"hidden"}]}}`:                 "",
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`:                                                     "",
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"hidden"}}`:                                                    "",
		`{"jsonrpc":"2.0","id":1,"result":null}`:                                                                            "", `{"jsonrpc":"2.0","id":1,"result":[]}`: "", `[]`: "", `[1,"x",null]`: "", `"x"`: "", ` `: "", `{"error":"x"}`: "",
	} {
		if want == "" {
			want = in
		}
		for _, lists := range []bool{true, false} {
			if got, err := hiding(lists).message([]byte(in)); err != nil || string(got) != want {
				t.Errorf("%s:\n got %s, %v\nwant %s", in, got, err, want)
			}
		}
	}
}

func TestResultForACallerIsKeptForNobodyElse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"id":1,"result":{"contents":[],"ttlMs":5,"cacheScope":"public"}}`:         `{"id":1,"result":{"contents":[],"ttlMs":5,"cacheScope":"private"}}`,
		`{"id":1,"result":{"contents":[],"ttlMs":5}}`:                               `{"id":1,"result":{"cacheScope":"private","contents":[],"ttlMs":5}}`,
		`{"id":1,"result":{"contents":[],"cacheS\u0063ope":"public"}}`:              `{"id":1,"result":{"contents":[],"cacheS\u0063ope":"private"}}`,
		`{"id":1,"result":{"structuredContent":{"ttlMs":5,"cacheScope":"public"}}}`: "",
		`{"id":1,"result":{"contents":[]}}`:                                         "",
	} {
		if want == "" {
			want = in
		}
		for _, lists := range []bool{true, false} {
			s := hiding(lists)
			s.own = true
			if got, err := s.message([]byte(in)); err != nil || string(got) != want {
				t.Errorf("%s:\n got %s, %v\nwant %s", in, got, err, want)
			}
		}
	}
}

// unreadableLists are such that no reader may be shown them, with the id whose
// request can still be answered.
func unreadableLists() map[string]string {
	list := func(result string) string { return `{"jsonrpc":"2.0","id":1,"result":` + result + `}` }
	return map[string]string{
		list(`{"tools":[{"name":"a","Name":"hidden"}]}`): "1", list(`{"tools":[{"Name":"hidden"}]}`): "1", list(`{"tools":[{"name":"a","name":"hidden"}]}`): "1",
		list(`{"tools":[],"Tools":[{"name":"hidden"}]}`): "1", list(`{"Tools":[{"name":"hidden"}]}`): "1", list(`{"tools":[],"tools":[{"name":"hidden"}]}`): "1", list(`{"tool\u017f":[{"name":"hidden"}]}`): "1",
		list(`{"tools":{"hidden":{}}}`): "1", list(`{"tools":"hidden"}`): "1", list(`{"tools":["hidden"]}`): "1", list(`{"resources":[{"name":"hidden"}]}`): "1",
		list(`{"tools":[],"ttlMs":1,"CacheScope":"public"}`):                          "1",
		`{"jsonrpc":"2.0","id":1,"result":{},"Result":{"tools":[{"name":"hidden"}]}}`: "",
		`{"jsonrpc":"2.0","id":1,"result":{},"result":{"tools":[{"name":"hidden"}]}}`: "",
		`{"jsonrpc":"2.0","id":1,"RESULT":{"tools":[{"name":"hidden"}]}}`:             "",
		`{"result":{"tools":[{"Name":"hidden"}]}}`:                                    "",
		`[[` + listed + `]]`: "",
		`[` + listed + `,{"result":{"tools":[{"Name":"hidden"}]}}]`: "",
		"\xef\xbb\xbf" + listed:                         "",
		listed + listed:                                 "",
		list(`{"tools":[{"name":"hidden"}],"x":NaN}`):   "",
		list(`{"tools":[{"name":"hidden"}],}`):          "",
		list("{\"tools\":[{\"name\":\"hidden\xff\"}]}"): "",
		listed[:60]: "",
	}
}

func TestListThatReadersReadDifferentlyIsNotShown(t *testing.T) {
	t.Parallel()
	for in, id := range unreadableLists() {
		got, err := hiding(true).message([]byte(in))
		switch {
		case strings.Contains(string(got), "hidden"):
			t.Errorf("%s: shown: %s", in, got)
		case id == "" && !errors.Is(err, hiddenUnread), id != "" && (err != nil || errorsIn(t, string(got))[id] == ""):
			t.Errorf("%s: %s, %v", in, got, err)
		}
		if got, err := hiding(false).message([]byte(in)); err != nil || string(got) != in && !strings.HasPrefix(in, "[") {
			t.Errorf("where there is no list: %s: %s, %v", in, got, err)
		}
	}
}

func TestEventsWithAListAreRewrittenAndTheRestIsNot(t *testing.T) {
	t.Parallel()
	const pretty = "data: {\"id\":1,\ndata:\"result\":{\ndata:   \"tools\":[\ndata:{\"name\":\"hidden\"},\ndata:{\"name\":\"a\"}]}}\n\n"
	for in, want := range map[string]string{
		"data: " + listed + "\n\n": "data: " + listShown + "\n\n",
		": hello\n\nid: 1\nevent: message\nretry: 5\n: note\nother\ndata:" + listed + "\nid: 2\n\ndata: x\n\n": ": hello\n\nid: 1\nevent: message\nretry: 5\n: note\nother\ndata: " + listShown + "\nid: 2\n\ndata: x\n\n",
		"data: " + listed + "\r\n\r\ndata\r\n\r\n":                                                             "data: " + listShown + "\r\n\r\ndata\r\n\r\n",
		"data: " + listed + "\rid: 1\r\rdata: {}\r\r":                                                          "data: " + listShown + "\rid: 1\r\rdata: {}\r\r",
		pretty:                                 "data: {\"id\":1,\ndata: \"result\":{\ndata:   \"tools\":[\ndata: {\"name\":\"a\"}]}}\n\n",
		"\xef\xbb\xbfdata: " + listed + "\n\n": "data: " + listShown + "\n\n",
		"event: endpoint\ndata: /messages?sessionId=hidden\n\n":                           "event: endpoint\ndata: /messages?sessionId=hidden\n\n",
		": keep-alive\n\n\n\nid: 7\n\nevent: x\n\n":                                       ": keep-alive\n\n\n\nid: 7\n\nevent: x\n\n",
		"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n": "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
		"data: " + listed:                         "data: " + listShown, // some readers do not wait for the empty line
		"data: " + listed + "\n":                  "data: " + listShown + "\n",
		"id: 4\ndata: {}\n\ndata: " + listed[:50]: "id: 4\ndata: {}\n\n",
		"": "",
	} {
		for _, readers := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			got, err := io.ReadAll(newScreened(io.NopCloser(readers(strings.NewReader(in))), hiding(true)))
			if err != nil || string(got) != want {
				t.Errorf("%q:\n got %q, %v\nwant %q", in, got, err, want)
			}
		}
	}
}

func TestStreamEndsBeforeWhatMayNotBeShown(t *testing.T) {
	t.Parallel()
	for in := range unreadableLists() {
		if strings.ContainsAny(in, "\r\n") {
			t.Fatal("not one line")
		}
		stream := "data: {}\n\ndata: " + in + "\n\ndata: 1\n\n"
		got, err := io.ReadAll(newScreened(io.NopCloser(strings.NewReader(stream)), hiding(true)))
		if strings.Contains(string(got), "hidden") || !strings.HasPrefix(string(got), "data: {}\n\n") || (err == nil) != strings.HasSuffix(string(got), "\n\ndata: 1\n\n") {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	broken := errors.New("broken")
	got, err := io.ReadAll(newScreened(io.NopCloser(io.MultiReader(strings.NewReader("data: 1\n\ndata: "+listed), failing{broken})), hiding(true)))
	if string(got) != "data: 1\n\n" || !errors.Is(err, broken) {
		t.Errorf("a stream that breaks: %q, %v", got, err)
	}
}

// TestEventTooLargeToHoldIsShownOnlyIfItIsNoList holds both: a large answer of a
// tool goes on in pieces, and what may be a list ends the stream.
func TestEventTooLargeToHoldIsShownOnlyIfItIsNoList(t *testing.T) {
	t.Parallel()
	large := "data: " + `{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"` + strings.Repeat("x", 1000) + "\n\ndata: 1\n\n"
	for _, lists := range []bool{true, false} {
		b := newScreened(io.NopCloser(iotest.HalfReader(strings.NewReader(large))), hiding(lists))
		b.cut.Limit = 100
		got, err := io.ReadAll(b)
		if lists && (!errors.Is(err, hiddenLarge) || len(got) > 0) || !lists && (err != nil || string(got) != large) {
			t.Errorf("may be a list %v: %d bytes, %v", lists, len(got), err)
		}
	}
}

// TestNothingIsHeldBackLongerThanItsOwnEvent holds that each event can be read
// before the upstream says more.
func TestNothingIsHeldBackLongerThanItsOwnEvent(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	b := newScreened(r, hiding(true))
	go func() {
		defer w.Close()
		for _, e := range []string{": hello\n\n", "data: " + listed + "\n\n", "data: 1\r\r", "id: 1\r\n\r\n"} {
			_, _ = io.WriteString(w, e) // returns once it has been read
		}
	}()
	p := make([]byte, 1000)
	for _, want := range []string{": hello\n\n", "data: " + listShown + "\n\n", "data: 1\r\r", "id: 1\r\n\r\n"} {
		if n, err := b.Read(p); err != nil || string(p[:n]) != want {
			t.Errorf("got %q, %v, want %q", p[:n], err, want)
		}
	}
	if n, err := b.Read(p); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestAnswersAreScreenedWhateverTheyAreCalled has an upstream answer in all ways
// that a server has, and some that none should.
func TestAnswersAreScreenedWhateverTheyAreCalled(t *testing.T) {
	t.Parallel()
	type reply struct {
		status int
		header []string
		body   string
	}
	var next reply
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(next.header); i += 2 {
			w.Header().Set(next.header[i], next.header[i+1])
		}
		w.WriteHeader(next.status)
		_, _ = io.WriteString(w, next.body)
	}).URL
	f := judging(t, nil, upstream)
	list := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},{"name":"wipe"}]}}`
	shown := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"}]}}`
	unclear := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"}]},"Result":{"tools":[{"name":"wipe"}]}}`
	JSON := []string{"Content-Type", "application/json"}
	asks, calls := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, calling(1, "echo")
	for _, tt := range []struct {
		name, send string
		reply
		status int
		want   string // "": an error of the gate's own
	}{
		{"JSON", asks, reply{200, JSON, list}, 200, shown},
		{"JSON with a charset", asks, reply{200, []string{"Content-Type", "Application/JSON; charset=utf-8"}, list}, 200, shown},
		{"JSON with sums", asks, reply{200, append([]string{"Etag", `"x"`, "Digest", "x"}, JSON...), list}, 200, shown},
		{"events", asks, reply{200, []string{"Content-Type", "text/event-stream"}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"events of a known length", asks, reply{200, []string{"Content-Type", "text/event-stream; charset=utf-8", "Content-Length", fmt.Sprint(len(list) + 8)}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"a list on the stream of a call", calls, reply{200, []string{"Content-Type", "text/event-stream"}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"a list as the JSON of a call", calls, reply{200, JSON, list}, 200, shown},
		{"a list as the JSON of a call, escaped", calls, reply{200, JSON, strings.Replace(list, "tools", `t\u006fols`, 1)}, 200, strings.Replace(shown, "tools", `t\u006fols`, 1)},
		{"a list as the text of a call", calls, reply{200, []string{"Content-Type", "text/plain"}, list}, 200, shown},
		{"a large list as the JSON of a call", calls, reply{200, JSON, list[:len(list)-2] + strings.Repeat(" ", mostListed) + "}}"}, 502, ""},
		{"events by a parameter without a value", asks, reply{200, []string{"Content-Type", "text/event-stream; charset"}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"events twice", asks, reply{200, []string{"Content-Type", "text/event-stream, Text/Event-Stream"}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"events by a parameter without a name", calls, reply{200, []string{"Content-Type", "Text/event-stream; ="}, "data: " + list + "\n\n"}, 200, "data: " + shown + "\n\n"},
		{"events and JSON", asks, reply{200, []string{"Content-Type", `application/json; profile="text/event-stream"`}, list}, 502, ""},
		{"JSON by a parameter without a value", asks, reply{200, []string{"Content-Type", "application/json; charset"}, list + list}, 502, ""},
		{"text with events", asks, reply{200, []string{"Content-Type", "text/plain"}, "event: message\ndata: " + list + "\n\n"}, 200, "event: message\ndata: " + shown + "\n\n"},
		{"no type", asks, reply{200, []string{"Content-Type", ""}, list}, 200, shown},
		{"text", asks, reply{200, []string{"Content-Type", "text/plain"}, "\n  " + list}, 200, "\n  " + shown},
		{"text that is none of it", asks, reply{200, []string{"Content-Type", "text/plain"}, "[INFO] wipe"}, 200, "[INFO] wipe"},
		{"text behind much space", asks, reply{200, []string{"Content-Type", "text/plain"}, strings.Repeat(" ", 10_000) + list}, 200, strings.Repeat(" ", 10_000) + shown},
		{"text that is unclear", asks, reply{200, []string{"Content-Type", "text/plain"}, unclear}, 502, ""},
		{"plain text", asks, reply{200, []string{"Content-Type", "text/plain"}, "hello wipe"}, 200, "hello wipe"},
		{"unclear", asks, reply{200, JSON, unclear}, 502, ""},
		{"unclear, with an id", asks, reply{200, JSON, strings.Replace(list, `"name":"wipe"`, `"Name":"wipe"`, 1)}, 200, ""},
		{"cut", asks, reply{200, JSON, list[:60]}, 502, ""},
		{"compressed", asks, reply{200, append([]string{"Content-Encoding", "gzip"}, JSON...), list}, 502, ""},
		{"not compressed", asks, reply{200, append([]string{"Content-Encoding", "identity"}, JSON...), list}, 200, shown},
		{"too large", asks, reply{200, JSON, list + strings.Repeat(" ", mostListed)}, 502, ""},
		{"a large answer to a call", calls, reply{200, JSON, `{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", mostListed) + `"}}`}, 200, `{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", mostListed) + `"}}`},
		{"nothing", asks, reply{200, JSON, ""}, 200, ""},
		{"accepted", asks, reply{202, []string{"Content-Type", "text/plain"}, "Accepted"}, 202, "Accepted"},
		{"no content", asks, reply{204, nil, ""}, 204, ""},
		{"a lost session", asks, reply{404, JSON, "Session not found"}, 404, ""},
		{"a lost session, with an error", asks, reply{404, JSON, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`}, 404, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`},
		{"a list with a status of failure", asks, reply{500, JSON, list}, 500, shown},
	} {
		next = tt.reply
		res, body := f.do(t, f.post(t, "use", tt.send))
		if res.StatusCode != tt.status || tt.want != "" && body != tt.want || strings.Contains(body, "wipe") && !strings.Contains(tt.want, "wipe") {
			t.Errorf("%s: %d %.300s", tt.name, res.StatusCode, body)
		}
		if strings.Contains(body, shown) && (res.Header.Get("Etag") != "" || res.Header.Get("Digest") != "") {
			t.Errorf("%s: a sum of what is not shown: %v", tt.name, res.Header)
		}
		if res.StatusCode == 502 && !strings.Contains(errorsIn(t, body)["1"], "annot be passed on") {
			t.Errorf("%s: %s", tt.name, body)
		}
		<-f.done
	}
}

func TestListsOnTheStreamOfAGetAreScreened(t *testing.T) {
	t.Parallel()
	f := judging(t, nil, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: endpoint\ndata: /\n\ndata: "+strings.ReplaceAll(listed, "hidden", "wipe")+"\n\n")
	}).URL)
	req := f.post(t, "use", "", "Accept", "text/event-stream")
	req.Method = http.MethodGet
	if res, body := f.do(t, req); res.StatusCode != 200 || body != "event: endpoint\ndata: /\n\ndata: "+strings.Replace(listShown, `{"name":"a"}`, "", 1)+"\n\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestEveryWordOfADenialIsListedOnce(t *testing.T) {
	t.Parallel()
	all := slices.Sorted(slices.Values(Denials()))
	if len(slices.Compact(slices.Clone(all))) != len(all) || slices.Contains(all, "") || !slices.Contains(all, deniedAnswer) {
		t.Errorf("%q", all)
	}
}
