package stdio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func messageWith(id string) message {
	return message{Message: jsonrpc.Message{Kind: jsonrpc.Request, ID: []byte(id)}}
}

const (
	notMessage  = "the server sent what is not a JSON-RPC message: is the URL that of an MCP endpoint?"
	noResponse  = "the server ended its answer without a response to the request: it may have been carried out"
	unfiltered  = "the server's list of tools cannot be read, so that it cannot be filtered: it is not passed on"
	serversOwn  = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	noticeOfIts = `{"jsonrpc":"2.0","method":"n","params":{"id":1}}`
)

func ourError(id, line string) string {
	return string(jsonrpc.ErrorBody([]byte(id), -32016, line, nil))
}

func TestWhatTheServerSaysReachesTheClientOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says []string // on the stream of request 1
		want []string // heard
		bad  int      // of what was said, how much is refused
	}{
		"nothing":                        {want: []string{ourError("1", noResponse)}},
		"the response":                   {says: []string{did("1", "m")}, want: []string{did("1", "m")}},
		"an error":                       {says: []string{`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`}, want: []string{`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`}},
		"twice":                          {says: []string{did("1", "m"), did("1", "n")}, want: []string{did("1", "m")}},
		"response and error":             {says: []string{did("1", "m"), `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`}, want: []string{did("1", "m")}},
		"of another request":             {says: []string{did("2", "m")}, want: []string{ourError("1", noResponse)}},
		"of a string":                    {says: []string{did(`"1"`, "m")}, want: []string{ourError("1", noResponse)}},
		"error that is null beside it":   {says: []string{`{"jsonrpc":"2.0","id":1,"result":{"a":[1.0]},"error":null}`}, want: []string{`{"id":1,"jsonrpc":"2.0","result":{"a":[1.0]}}`}},
		"result that is null beside it":  {says: []string{`{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-1,"message":"x"}}`}, want: []string{`{"error":{"code":-1,"message":"x"},"id":1,"jsonrpc":"2.0"}`}},
		"written in another way":         {says: []string{did("1.0", "m")}, want: []string{did("1", "m")}},
		"error without an id":            {says: []string{`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}`}, want: []string{`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`}},
		"error with no id at all":        {says: []string{` { "jsonrpc":"2.0","error":{"code":-1,"message":"x"}}`}, want: []string{` {"id":1, "jsonrpc":"2.0","error":{"code":-1,"message":"x"}}`}},
		"result without an id":           {says: []string{`{"jsonrpc":"2.0","id":null,"result":{}}`}, want: []string{ourError("1", noResponse)}},
		"others before it":               {says: []string{noticeOfIts, serversOwn, did("1", "m")}, want: []string{noticeOfIts, serversOwn, did("1", "m")}},
		"others behind it":               {says: []string{did("1", "m"), noticeOfIts}, want: []string{did("1", "m"), noticeOfIts}},
		"a batch":                        {says: []string{`[` + noticeOfIts + `, ` + did("1", "m") + ` ]`}, want: []string{noticeOfIts, did("1", "m")}},
		"a batch that is wrong in parts": {says: []string{`[1,` + noticeOfIts + `,[],` + did("1", "m") + `]`}, want: []string{noticeOfIts, did("1", "m")}, bad: 1},
		"an empty batch":                 {says: []string{`[]`}, want: []string{ourError("1", noResponse)}},
		"a batch in a batch":             {says: []string{strings.Repeat("[", 9000) + did("1", "m") + strings.Repeat("]", 9000)}, want: []string{ourError("1", noResponse)}, bad: 1},
		"pretty":                         {says: []string{"{\n\t\"jsonrpc\": \"2.0\",\r\n\t\"id\": 1,\r\t\"result\": {}\n}\n"}, want: []string{"{ \t\"jsonrpc\": \"2.0\",  \t\"id\": 1, \t\"result\": {} } "}},
		"byte order mark":                {says: []string{"\ufeff" + did("1", "m")}, want: []string{did("1", "m")}},
		"no JSON":                        {says: []string{"<html>", "", " ", `{"jsonrpc":"2.0","id":1,"result":`, "\x00"}, want: []string{ourError("1", noResponse)}, bad: 5},
		"two messages at once":           {says: []string{did("1", "m") + "\n" + did("1", "m")}, want: []string{ourError("1", noResponse)}, bad: 1},
		"ambiguous response":             {says: []string{`{"jsonrpc":"2.0","id":1,"result":{},"result":[]}`, did("1", "m")}, want: []string{ourError("1", notMessage)}, bad: 1},
		"response of another version":    {says: []string{`{"jsonrpc":"1.0","id":1,"result":{}}`}, want: []string{ourError("1", notMessage)}, bad: 1},
		"response without a version":     {says: []string{`{"id":1.0,"result":{}}`}, want: []string{ourError("1", notMessage)}, bad: 1},
		"invalid UTF-8":                  {says: []string{"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}"}, want: []string{ourError("1", notMessage)}, bad: 1},
		"wrong response of another":      {says: []string{`{"id":2,"result":{}}`}, want: []string{ourError("1", noResponse)}, bad: 1},
		"wrong request of the same id":   {says: []string{`{"id":1,"method":"m"}`}, want: []string{ourError("1", noResponse)}, bad: 1},
		"both at once":                   {says: []string{`{"jsonrpc":"2.0","id":1,"method":"m","result":{}}`}, want: []string{ourError("1", noResponse)}, bad: 1},
		"two ids":                        {says: []string{`{"jsonrpc":"2.0","id":1,"id":1,"result":{}}`}, want: []string{ourError("1", noResponse)}, bad: 1},
		"object that is none":            {says: []string{`{"error":"unauthorized"}`}, want: []string{ourError("1", noResponse)}, bad: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
					bad := 0
					for _, said := range tt.says {
						raw := []byte(said)
						if f.deliver(raw, c) != nil {
							bad++
						}
						clear(raw) // it is the caller's again
					}
					if bad != tt.bad {
						t.Errorf("%d refused, want %d", bad, tt.bad)
					}
					return nil
				}}
				c := bridged(t, f, Options{})
				c.say(ask("1", "m"))
				if got, err := c.end(); err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("heard\n  %q, %v, want\n  %q", got, err, tt.want)
				}
			})
		})
	}
}

func TestResponseSettlesItsRequestWhereverItComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := make(chan *call, 1)
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			c.left()
			if string(c.ID) == "1" {
				first <- c
			} else {
				f.deliver([]byte(did("1", "m")), c)
				f.deliver([]byte(did(string(c.ID), "m")), nil)
			}
			select {
			case <-c.answered:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"))
		<-first
		c.say(ask("2", "m"))
		c.hears(did("1", "m"), did("2", "m"))
	})
}

func TestIDThatIsInUseIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		f := &fake{asking: func(_ context.Context, f *fake, c *call) error { <-answer; return f.answer(c) }}
		c := bridged(t, f, Options{})
		c.say(ask("1", "a"), ask("1.0", "b"))
		c.hears(refusedAs("1.0", "the id is that of another request that is under way"))
		close(answer)
		c.hears(did("1", "a"))
		synctest.Wait()
		c.say(ask("1", "c"))
		c.hears(did("1", "c"))
		if got := f.saw(); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("the server saw %q", got)
		}
	})
}

func TestWhatIsToldIsToldInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := map[string]int{}
		var mu sync.Mutex
		f := &fake{telling: func(_ context.Context, f *fake, m message) error {
			mu.Lock()
			at[m.Method]++
			n := at[m.Method]
			mu.Unlock()
			if got := numberIn(m); got != n {
				t.Errorf("message %d of %q comes as the %d.", got, m.Method, n)
			}
			time.Sleep(time.Duration(100-n) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if at[m.Method] != n {
				t.Errorf("two of %q at once", m.Method)
			}
			return nil
		}}
		c := bridged(t, f, Options{})
		for n := range 50 {
			c.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"a","params":[%d]}`, n+1), fmt.Sprintf(`{"jsonrpc":"2.0","id":"r","result":[%d]}`, n+1))
		}
		time.Sleep(time.Minute)
		if got := len(f.saw()); got != 100 {
			t.Errorf("the server was told %d messages", got)
		}
	})
}

// numberIn returns the number that m carries.
func numberIn(m message) (n int) {
	var list []int
	if json.Unmarshal(slices.Concat(m.Params, m.Result), &list) != nil || len(list) != 1 {
		return -1
	}
	return list[0]
}

// The server waits for what it has asked, and may take nothing else meanwhile.
func TestReplyToTheServerDoesNotWaitForNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{telling: func(ctx context.Context, _ *fake, m message) error {
			if m.Method != "" {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		c := bridged(t, f, Options{})
		c.say(`{"jsonrpc":"2.0","method":"a"}`, `{"jsonrpc":"2.0","method":"b"}`)
		synctest.Wait()
		c.say(did("1", "ping"), did("2", "ping"))
		synctest.Wait()
		if got := f.saw(); !slices.Equal(got, []string{"a", "response 1", "response 2"}) {
			t.Errorf("the server was told %q", got)
		}
	})
}

func TestServerThatTakesNothingIsToldTheNextAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{telling: func(ctx context.Context, _ *fake, m message) error {
			if m.Method == "a" {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		c := bridged(t, f, Options{})
		c.say(`{"jsonrpc":"2.0","method":"a"}`, `{"jsonrpc":"2.0","method":"b"}`, ask("1", "m"))
		c.hears(did("1", "m"))
		time.Sleep(tellLimit)
		synctest.Wait()
		if got := sorted(f.saw()); !slices.Equal(got, []string{"a", "b", "m"}) {
			t.Errorf("the server saw %q", got)
		}
	})
}

func TestReplyToTheServerDoesNotWaitForInitialize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replied := make(chan struct{})
		f := &fake{
			asking: func(_ context.Context, f *fake, c *call) error {
				f.deliver([]byte(serversOwn), c)
				<-replied
				return f.answer(c)
			},
			telling: func(context.Context, *fake, message) error { close(replied); return nil },
		}
		c := bridged(t, f, Options{})
		c.say(begin)
		c.hears(serversOwn)
		c.say(did("1", "ping"))
		c.hears(begun)
	})
}

func TestToolsThatAreNotAllowedAreNeitherShownNorCalled(t *testing.T) {
	t.Parallel()
	const list = `{"tools":[{"name":"a"}, {"name":"secret"} ,{"name":"b"}],"nextCursor":"x"}`
	f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
		switch c.Method {
		case "tools/list":
			return f.deliver([]byte(`{"jsonrpc":"2.0", "result": `+list+` ,"id":`+string(c.ID)+`}`), c)
		case "broken":
			c.Method = "tools/list"
			return f.deliver([]byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"secret","name":"a"}]}}`), c)
		}
		return f.answer(c)
	}}
	c := bridged(t, f, Options{Tools: func(name string) bool { return name != "secret" }})
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	refused := func(name string) string {
		return string(jsonrpc.ErrorBody([]byte("1"), -32602, "Unknown tool: "+name, nil))
	}
	for _, tt := range [][2]string{
		{ask("1", "tools/list"), `{"jsonrpc":"2.0", "result": {"tools":[{"name":"a"} ,{"name":"b"}],"nextCursor":"x"} ,"id":1}`},
		{ask("1", "other"), did("1", "other")},
		{ask("1", "broken"), ourError("1", unfiltered)},
		{call(`{"name":"a"}`), did("1", "tools/call")},
		{call(`{"name":"secret"}`), refused("secret")},
		{call(`{"name":"\u0073ecret"}`), refused("secret")},
		{call(`{"name":"a","name":"secret"}`), refused("")},
		{call(`{"name":"a","Name":"secret"}`), refused("")},
		{call(`{"name":1}`), refused("")},
		{call(`[]`), refused("")},
	} {
		c.say(tt[0])
		c.hears(tt[1])
	}
	if got := f.saw(); !slices.Equal(got, []string{"tools/list", "other", "broken", "tools/call"}) {
		t.Errorf("the server saw %q", got)
	}
}

// A server may act on a call without an id, or read other names than we do.
func TestToolThatIsNotAllowedIsNotCalledInAnotherForm(t *testing.T) {
	t.Parallel()
	const secret = `"params":{"name":"secret"}`
	f := &fake{}
	c := bridged(t, f, Options{Tools: func(name string) bool { return name != "secret" }})
	for _, tt := range [][2]string{
		{`{"jsonrpc":"2.0","method":"tools/call",` + secret + `}`, ""},
		{`{"jsonrpc":"2.0","id":null,"method":"tools/call",` + secret + `}`, ""},
		{`[{"jsonrpc":"2.0","method":"tools/call",` + secret + `}]`, ""},
		{`{"jsonrpc":"2.0","method":"n","METHOD":"tools/call",` + secret + `}`, ""},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call",` + secret + `}`, refusedAs("1", misspelt)},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"pArams":{"name":"secret"}}`, refusedAs("1", misspelt)},
	} {
		c.say(tt[0])
		if tt[1] != "" {
			c.hears(tt[1])
		}
	}
	c.say(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}`, ask("2", "last"))
	c.hears(did("2", "last"))
	if rest, err := c.end(); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if got := sorted(f.saw()); !slices.Equal(got, []string{"last", "tools/call"}) {
		t.Errorf("the server saw %q", got)
	}
}

const misspelt = "a name in the message is one of MCP but for its case, so that it cannot be told what it asks for"
