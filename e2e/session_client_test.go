package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"
)

// command is what a client with a session is told to do.
type command struct {
	Do        string         `json:"do"` // connect · call · level · subscribe · end
	Tool      string         `json:"tool,omitempty"`
	Arguments map[string]any `json:"arguments,omitempty"`
	Times     int            `json:"times,omitempty"`    // at once
	Patience  int            `json:"patience,omitempty"` // of a TypeScript client, in ms
	Level     string         `json:"level,omitempty"`
	URI       string         `json:"uri,omitempty"`
}

// line is what it prints: what came of a command, or a notification.
type line struct {
	Did     string          `json:"did,omitempty"`
	Results []line          `json:"results,omitempty"` // of calls
	Text    string          `json:"text,omitempty"`
	Error   string          `json:"error,omitempty"`
	Code    json.RawMessage `json:"code,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`

	Saw    string          `json:"saw,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
}

func (l line) String() string {
	b, _ := json.Marshal(l)
	return string(b)
}

// sessionClient is a real client of an SDK in a process of its own, which has
// one session and does as it is told.
type sessionClient struct {
	name  string
	in    io.Writer
	lines chan line
	seen  []line // notifications, until they are waited for
}

// sdk is a kind of client.
type sdk struct {
	name  string
	start func(t *testing.T, p *serving, name, url string) *sessionClient
}

// sdks are all of them. Fetch in Node speaks HTTP/1.1, and Go HTTP/2 unless it
// is told not to. More is for their environment.
func sdks(n node, more ...string) []sdk {
	script := func(version string) func(*testing.T, *serving, string, string) *sessionClient {
		return func(t *testing.T, p *serving, name, url string) *sessionClient {
			c := n.behind(p)
			c.env = append(c.env, more...)
			return c.session(t, name, n.program, n.script(t, "session.mjs"), url, name, version)
		}
	}
	goes := func(env ...string) func(*testing.T, *serving, string, string) *sessionClient {
		return func(t *testing.T, p *serving, name, url string) *sessionClient {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			env := append(slices.Concat(env, more), clientVariable+"=session", "HTTPS_PROXY="+p.url(), "SSL_CERT_FILE="+p.bundle())
			return client{env: env}.session(t, name, self, name+" "+url)
		}
	}
	return []sdk{
		{"typescript-1", script("1")},
		{"typescript-2", script("2")},
		{"go", goes()},
		{"go-http1", goes("GODEBUG=http2client=0")},
	}
}

// session starts a program that has a session and connects it. It ends with
// the test.
func (c client) session(t *testing.T, name, program string, args ...string) *sessionClient {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := c.command(ctx, program, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sessionClient{name: name, in: in, lines: make(chan line, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.read(ctx, out)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		in.Close()
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, errs.Bytes())
		}
	})
	return s
}

func (s *sessionClient) read(ctx context.Context, out io.Reader) {
	defer close(s.lines)
	for in := bufio.NewScanner(out); in.Scan(); {
		var l line
		if json.Unmarshal(in.Bytes(), &l) != nil {
			l.Error = in.Text()
		}
		select {
		case s.lines <- l:
		case <-ctx.Done():
		}
	}
}

// next returns the next line that is wanted. Notifications that are not are
// kept.
func (s *sessionClient) next(what string, wanted func(line) bool) (line, error) {
	if i := slices.IndexFunc(s.seen, wanted); i >= 0 {
		l := s.seen[i]
		s.seen = slices.Delete(s.seen, i, i+1)
		return l, nil
	}
	guard := time.After(guardTime)
	for {
		select {
		case l, ok := <-s.lines:
			if !ok {
				return line{}, fmt.Errorf("%s ended before %s", s.name, what)
			}
			if wanted(l) {
				return l, nil
			}
			s.seen = append(s.seen, l)
		case <-guard:
			return line{}, fmt.Errorf("%s: %s did not come; kept: %v", s.name, what, s.seen)
		}
	}
}

// do has the client do c and returns what came of it.
func (s *sessionClient) do(c command) (line, error) {
	if err := s.tell(c); err != nil {
		return line{}, err
	}
	return s.outcome(c)
}

// tell has the client begin to do c, and outcome returns what came of it.
func (s *sessionClient) tell(c command) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.in, "%s\n", b); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

func (s *sessionClient) outcome(c command) (line, error) {
	return s.next("the outcome of "+c.Do, func(l line) bool { return l.Did == c.Do })
}

// must is do for what has to go well: each of the commands, one by one.
func (s *sessionClient) must(cs ...command) error {
	for _, c := range cs {
		l, err := s.do(c)
		if err != nil {
			return err
		}
		if l.Error != "" {
			return fmt.Errorf("%s: %s: %v", s.name, c.Do, l)
		}
		for _, r := range l.Results {
			if r.Error != "" {
				return fmt.Errorf("%s: a call: %v", s.name, r)
			}
		}
	}
	return nil
}

// sees waits for a notification that has these in its parameters.
func (s *sessionClient) sees(method string, params ...string) error {
	_, err := s.next(method, func(l line) bool {
		return l.Saw == method && !slices.ContainsFunc(params, func(p string) bool { return !bytes.Contains(l.Params, []byte(p)) })
	})
	return err
}

// saw tells whether a notification came that was not waited for.
func (s *sessionClient) saw(method string) bool {
	return slices.ContainsFunc(s.seen, func(l line) bool { return l.Saw == method })
}

// echoes is a call that any number of which can be made at once.
func echoes(what string, times int) command {
	return command{Do: "call", Tool: "echo", Arguments: map[string]any{"message": what}, Times: times}
}
