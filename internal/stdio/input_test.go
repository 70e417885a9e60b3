package stdio

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// refusedAs is the error that answers what is no request.
func refusedAs(id, line string) string {
	return string(jsonrpc.ErrorBody([]byte(id), -32600, line, nil))
}

func TestInputThatIsNoMessageIsRefusedOrDropped(t *testing.T) {
	t.Parallel()
	const (
		twice  = "jsonrpc: a name occurs twice in the message"
		noJSON = "jsonrpc: the message is not JSON"
		noRPC  = `jsonrpc: the message does not say "jsonrpc": "2.0"`
		badID  = "jsonrpc: the id is neither a string nor a number"
	)
	deep := func(n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"m","params":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	for name, tt := range map[string]struct {
		in   string
		want []string // what is heard, in any order
		sent []string // methods that the server sees
	}{
		"malformed":                       {in: `{"jsonrpc":"2.0","id":1,"method":"m",}`},
		"truncated":                       {in: `{"jsonrpc":"2.0","id":1,"method":"m`},
		"no JSON at all":                  {in: `hello`},
		"null":                            {in: `null`},
		"number":                          {in: `1`},
		"string":                          {in: `"x"`},
		"two in a line":                   {in: ask("1", "m") + ask("2", "m")},
		"NUL":                             {in: "\x00" + ask("1", "m")},
		"NUL in a string":                 {in: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\x00\"}"},
		"UTF-16":                          {in: "\xff\xfe{\x00}\x00"},
		"empty batch":                     {in: `[]`},
		"nested batch":                    {in: `[[` + ask("1", "m") + `]]`},
		"batch":                           {in: `[` + ask("1", "a") + `, ` + ask("2", "b") + `]`, want: []string{did("1", "a"), did("2", "b")}, sent: []string{"a", "b"}},
		"mixed batch":                     {in: `[1,` + ask("1", "a") + `,{},[],{"jsonrpc":"2.0","method":"n"},{"id":2}]`, want: []string{did("1", "a"), refusedAs("2", noRPC)}, sent: []string{"a", "n"}},
		"batch that is no JSON":           {in: `[` + ask("1", "a") + `,`},
		"duplicate name":                  {in: `{"jsonrpc":"2.0","id":1,"method":"m","x":1,"x":2}`, want: []string{refusedAs("1", twice)}},
		"duplicate name, escaped":         {in: `{"jsonrpc":"2.0","id":1,"method":"m","method\u0000":1,"\u006dethod":"n"}`, want: []string{refusedAs("1", twice)}},
		"two ids":                         {in: `{"jsonrpc":"2.0","id":1,"method":"m","id":2}`},
		"two ids, escaped":                {in: `{"jsonrpc":"2.0","id":1,"method":"m","\u0069d":2}`},
		"the same id twice":               {in: `{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}`},
		"escaped id":                      {in: `{"jsonrpc":"1.0","\u0069d":1,"method":"m"}`, want: []string{refusedAs("1", noRPC)}},
		"id deeper only":                  {in: `{"jsonrpc":"1.0","method":"m","params":{"id":1}}`},
		"no id":                           {in: `{"jsonrpc":"2.0","method":"n"}`, sent: []string{"n"}},
		"id null":                         {in: `{"jsonrpc":"2.0","id":null,"method":"n"}`},
		"id null, escaped, in a batch":    {in: `[{"jsonrpc":"2.0","method":"n","\u0069d":null},` + ask("1", "m") + `]`, want: []string{did("1", "m")}, sent: []string{"m"}},
		"id true":                         {in: `{"jsonrpc":"2.0","id":true,"method":"m"}`},
		"id object":                       {in: `{"jsonrpc":"2.0","id":{},"method":"m"}`},
		"id array":                        {in: `{"jsonrpc":"2.0","id":[1],"method":"m"}`},
		"id too long":                     {in: `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 5000) + `","method":"m"}`},
		"version 1.0":                     {in: `{"jsonrpc":"1.0","id":"a","method":"m"}`, want: []string{refusedAs(`"a"`, noRPC)}},
		"no version":                      {in: `{"id":1.0,"method":"m"}`, want: []string{refusedAs("1.0", noRPC)}},
		"no method":                       {in: `{"jsonrpc":"2.0","id":1}`, want: []string{refusedAs("1", "jsonrpc: the message has none of method, result and error")}},
		"method is no string":             {in: `{"jsonrpc":"2.0","id":1,"method":1}`, want: []string{refusedAs("1", "jsonrpc: the method is not a string")}},
		"method and result":               {in: `{"jsonrpc":"2.0","id":1,"method":"m","result":1}`, want: []string{refusedAs("1", "jsonrpc: the message has more than one of method, result and error")}},
		"result and error":                {in: `{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`, sent: []string{"response 1"}}, // an error, for the server waits
		"response of version 1.0":         {in: `{"jsonrpc":"1.0","id":1,"result":1}`, sent: []string{"response 1"}},
		"invalid UTF-8":                   {in: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"\xff\"}}", want: []string{refusedAs("1", noJSON)}},
		"invalid UTF-8 in the id":         {in: "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"m\"}"},
		"lone surrogate in the id":        {in: `{"jsonrpc":"2.0","id":"\ud800","method":"m"}`, want: []string{did(`"\ud800"`, "m")}, sent: []string{"m"}},
		"CRLF":                            {in: ask("1", "m") + "\r", want: []string{did("1", "m")}, sent: []string{"m"}},
		"blank lines":                     {in: "\n\r\n \t\r\n" + ask("1", "m") + "\n\n", want: []string{did("1", "m")}, sent: []string{"m"}},
		"byte order mark":                 {in: "\ufeff" + ask("1", "m"), want: []string{did("1", "m")}, sent: []string{"m"}},
		"byte order mark later":           {in: ask("1", "m") + "\n\ufeff" + ask("2", "m"), want: []string{did("1", "m")}, sent: []string{"m"}},
		"deep":                            {in: deep(9_000), want: []string{did("1", "m")}, sent: []string{"m"}},
		"too deep":                        {in: deep(10_001), want: []string{refusedAs("1", noJSON)}},
		"too deep and broken":             {in: strings.TrimSuffix(deep(10_001), "}")},
		"ids of every kind":               {in: ask(`"1"`, "a") + "\n" + ask("1", "b") + "\n" + ask("-1", "c") + "\n" + ask("0.5", "d"), want: []string{did(`"1"`, "a"), did("1", "b"), did("-1", "c"), did("0.5", "d")}, sent: []string{"a", "b", "c", "d"}},
		"response that nobody waits for":  {in: `{"jsonrpc":"2.0","id":7,"result":{}}`, sent: []string{"response 7"}},
		"error without id":                {in: `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, sent: []string{"response "}},
		"name in capitals is another":     {in: `{"jsonrpc":"2.0","ID":1,"method":"n"}`, sent: []string{"n"}},
		"cancellation of what is unknown": {in: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}`, sent: []string{"notifications/cancelled"}},
		"cancellation without an id":      {in: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":[]}`, sent: []string{"notifications/cancelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				c := bridged(t, f, Options{})
				c.say(tt.in)
				got, err := c.end()
				if slices.Sort(got); err != nil || !slices.Equal(got, sorted(tt.want)) {
					t.Errorf("heard %q, %v, want %q", got, err, tt.want)
				}
				sent := f.saw()
				if slices.Sort(sent); !slices.Equal(sent, sorted(tt.sent)) {
					t.Errorf("the server saw %q, want %q", sent, tt.sent)
				}
			})
		})
	}
}

// Nobody can be answered: the log has to say it.
func TestWhatIsDroppedOfTheClientsIsLogged(t *testing.T) {
	t.Parallel()
	const noMessage = `msg="what the client sent is no message, and has no id to answer: dropped" reason=`
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"empty batch":              {`[]`, []string{noMessage + `"the batch is empty"`}},
		"empty batch, with blanks": {"[ \t]", []string{noMessage + `"the batch is empty"`}},
		"nested batch":             {`[[]]`, []string{noMessage + `"the message is not a JSON-RPC request"`}},
		"batch of nothing":         {`[null,{}]`, []string{noMessage, noMessage}},
		"batch":                    {`[` + ask("1", "m") + `]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder // written by the reader of the input alone
				o := Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
				c := bridged(t, &fake{}, o)
				c.say(tt.in)
				c.end()
				lines := strings.FieldsFunc(log.String(), func(r rune) bool { return r == '\n' })
				if !slices.EqualFunc(lines, tt.want, strings.Contains) {
					t.Errorf("logged %q, want %q", lines, tt.want)
				}
			})
		})
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestMessageGoesOnByteForByte(t *testing.T) {
	t.Parallel()
	line := `{ "params":{"a":1e3,"b":"\u0061<&>` + "\u2028" + `"},"method" :"m", "id":1.50,"jsonrpc":"2.0","extra":[ ] }`
	f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
		return f.deliver([]byte("{\n \"id\":1.5,\r\n\"result\" : {\"x\":1.0, \"y\":\"\\u2028\"} ,\"jsonrpc\":\"2.0\"}"), c)
	}}
	c := bridged(t, f, Options{})
	c.say(line)
	c.hears(`{  "id":1.50,  "result" : {"x":1.0, "y":"\u2028"} ,"jsonrpc":"2.0"}`)
	if len(f.raw) != 1 || f.raw[0] != line {
		t.Errorf("the server was sent %q", f.raw)
	}
}

func TestLineThatIsTooLongIsAnsweredByWhatWasSeenOfIt(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x{\\\"", 5_000)
	for in, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"m","params":"` + filler + `"}`:                                   "1",
		`{"method":"m","params":{"id":2,"a":["` + filler + `",[{"id":3}]]},"jsonrpc":"2.0","id" : "a\"b" }`: `"a\"b"`,
		`{"params":"` + filler + `","` + filler + `":1,"id":-1.5e3,"method":"m"}`:                           "-1.5e3",
		`{"id":1,"result":"` + filler + `"}`:                                                                "", // a response
		`{"id":1,"params":"` + filler + `","id":1,"method":"m"}`:                                            "", // two ids
		`{"params":{"id":1,"method":"m","a":"` + filler + `"},"method":"m"}`:                                "",
		`{"id":"` + filler + `","method":"m"}`:                                                              "",
		`{"id":` + strings.Repeat("1", 20_000) + `,"method":"m"}`:                                           "",
		`{"id":null,"method":"` + filler + `"}`:                                                             "",
		`{"id":{"id":1},"method":"` + filler + `"}`:                                                         "",
		`{"id":1 2,"method":"` + filler + `"}`:                                                              "",
		`{"x":"id":1,"method":"` + filler + `"}`:                                                            "",
		`{"id":1,"method":"` + filler + `"`:                                                                 "",
		`{"id":1,"method":"` + filler + `"}}`:                                                               "",
		`{"id":1,"method":"` + filler + `"} {}`:                                                             "",
		`[{"id":1,"method":"` + filler + `"}]`:                                                              "",
		`"` + filler:                                                                                        "",
	} {
		l := newLines(io.MultiReader(strings.NewReader(in), strings.NewReader("\n"+ask("2", "m"))), 10_000)
		line, tooLong, err := l.next()
		if err != nil || tooLong == nil || line != nil {
			t.Fatalf("%.60s: %d bytes, %v", in, len(line), err)
		}
		if held := len(tooLong.name) + len(tooLong.seen) + len(tooLong.id); held > 3*(mostSeen+1) {
			t.Errorf("%.60s: %d bytes are held", in, held)
		}
		if id, ok := tooLong.request(); ok != (want != "") || ok && string(id) != want {
			t.Errorf("%.60s: id %.40s, %v, want %s", in, id, ok, want)
		}
		if line, tooLong, err = l.next(); err != nil || tooLong != nil || string(line) != ask("2", "m") {
			t.Errorf("%.60s: then %q, %v", in, line, err)
		}
		if _, _, err = l.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%.60s: in the end %v", in, err)
		}
	}
}

func TestMessageThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	thorough(t)
	const head, tail = `{"jsonrpc":"2.0","id":1,"method":"m","params":["`, `"]}` + "\n"
	f := &fake{}
	b := newBridge(Options{}, func(b *Bridge) upstream { f.deliver = b.deliver; return f })
	end, stop := io.Pipe() // which keeps the input from ending before the answers are there
	in := io.MultiReader(
		strings.NewReader(head), io.LimitReader(again(strings.Repeat("x", 1<<20)), mostMessage+1-int64(len(head)+len(tail))), strings.NewReader(tail),
		strings.NewReader(ask("2", "m")+"\n"), end,
	)
	out := &earful{want: 2, all: func() { stop.Close() }}
	if err := b.Run(t.Context(), in, out); err != nil {
		t.Error(err)
	}
	want := []string{refusedAs("1", "the message is larger than 64 MiB"), did("2", "m")}
	if got := sorted(out.said); !slices.Equal(got, sorted(want)) {
		t.Errorf("%q", got)
	}
}

// again is a text that is repeated without an end.
type again string

func (a again) Read(p []byte) (int, error) { return copy(p, a), nil }

// earful keeps what is written, and calls all when that is as much as is wanted.
type earful struct {
	said []string
	want int
	all  func()
}

func (o *earful) Write(p []byte) (int, error) {
	if o.said = append(o.said, strings.TrimSuffix(string(p), "\n")); len(o.said) == o.want {
		o.all()
	}
	return len(p), nil
}

func TestIDsAreTheSameHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"1", "1.0", "1e0", "1E+0", "10e-1", "0.1e1", "100.00e-2"},
		{"0", "-0", "0.0", "0e5", "-0.000e-7"},
		{"-1", "-1.0", "-10e-1"},
		{"1000", "1e3", "1.0E3"},
		{"9007199254740993", "9007199254740993.0"},
		{"9007199254740992"},
		{"1.5", "15e-1", "0.15e1"},
		{"1e400", "10e399"},
		{"1e99999999999"}, {"1e99999999998"},
		{`"a"`, `"\u0061"`},
		{`"1"`}, {`"1.0"`}, {`"n1e0"`}, {`""`}, {`"A"`},
		{`"\ud800"`}, {`"\ud801"`}, {`"\ufffd"`},
		{`"é"`, `"\u00e9"`, `"\u00E9"`},
	} {
		for _, id := range same {
			if keyOf([]byte(id)) != keyOf([]byte(same[0])) {
				t.Errorf("%s is another than %s", id, same[0])
			}
		}
	}
	keys := map[string]string{}
	for _, id := range []string{"0", "1", "-1", "10", "0.1", "1e400", "1e99999999999", "1e99999999998", `"1"`, `"n1e0"`, `""`, `"s"`, `"\ud800"`, `"\ud801"`, `"a"`, `"A"`} {
		key := keyOf([]byte(id))
		if other, ok := keys[key]; ok {
			t.Errorf("%s is the same as %s", id, other)
		}
		keys[key] = id
	}
}

// The server waits for a reply: it is told that there will be none, or what the
// client must have meant.
func TestReplyThatIsNotStrictReachesTheServer(t *testing.T) {
	t.Parallel()
	const refused = `{"jsonrpc":"2.0","id":"e","error":{"code":-32600,"message":"what the client replied is not a JSON-RPC response"}}`
	for in, want := range map[string]string{
		`{"jsonrpc":"2.0","id":"e","result":{"a":1.0},"error":null}`:                `{"id":"e","jsonrpc":"2.0","result":{"a":1.0}}`,
		`{"error":{"code":1,"message":"m"},"result":null,"jsonrpc":"2.0","id":"e"}`: `{"error":{"code":1,"message":"m"},"id":"e","jsonrpc":"2.0"}`,
		`[{"jsonrpc":"2.0","id":"e","error":null,"result":null}]`:                   `{"id":"e","jsonrpc":"2.0","result":null}`,
		`{"jsonrpc":"2.0","id":"e","result":1,"error":{}}`:                          refused,
		`{"id":"e","result":{},"error":null}`:                                       refused,
		`{"jsonrpc":"2.0","id":"e","result":{},"result":{}}`:                        refused,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
				f.deliver([]byte(elicit), c)
				return hangs(ctx, f, c)
			}}
			b := bridged(t, c, Options{ToolTimeout: time.Minute})
			b.say(tool)
			b.hears(elicit)
			time.Sleep(time.Hour)
			b.say(in)
			synctest.Wait()
			if c.raw[len(c.raw)-1] != want {
				t.Errorf("%s: the server was sent %q", in, c.raw)
			}
			if got := b.hear(); !strings.Contains(got, "no sign of life") {
				t.Errorf("%s: %s", in, got)
			}
		})
	}
}
