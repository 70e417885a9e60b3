package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// request sends a request and returns its answer, of that status.
func request(ctx context.Context, h *http.Client, method, url string, body []byte, status int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != status {
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		return nil, fmt.Errorf("%s %s: %s, want %d: %s", method, url, res.Status, status, text)
	}
	return res, nil
}

// calls does something many times at once.
func calls(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// again does something until it succeeds, three times at most: what is sent
// to a server while it is being replaced may be lost.
func again(do func() error) (err error) {
	for range 3 {
		if err = do(); err == nil {
			return nil
		}
	}
	return err
}

// plainCalls are uploads, with a token and without.
type plainCalls struct{}

func (plainCalls) begin(ctx context.Context, c *soakClients) error { return plainCalls{}.goOn(ctx, c) }
func (plainCalls) end(ctx context.Context, c *soakClients) error   { return plainCalls{}.goOn(ctx, c) }

func (plainCalls) goOn(ctx context.Context, c *soakClients) error {
	body := bytes.Repeat([]byte("body"), 8<<10)
	paths := []string{"/v1/x", "/beside"} // one that the rule has, and one beside it
	return calls(16, func(i int) error {
		res, err := request(ctx, c.both()[i%2], "POST", "https://api.corp.test"+paths[i/2%2], body, 200)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || string(got) != digestOf(body) {
			return fmt.Errorf("an upload was answered %q, %w", got, err)
		}
		return nil
	})
}

// generations are answers of a model, of which every other is not read to its
// end.
type generations struct{}

func (generations) begin(ctx context.Context, c *soakClients) error {
	return generations{}.goOn(ctx, c)
}
func (generations) end(context.Context, *soakClients) error { return nil }

func (generations) goOn(ctx context.Context, c *soakClients) error {
	return calls(8, func(i int) error {
		return again(func() error { return generate(ctx, c.both()[i%2], i/2%2 == 0) })
	})
}

// generate has a model say something, and listens to half of it or all.
func generate(ctx context.Context, h *http.Client, half bool) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	res, err := request(ctx, h, "POST", "https://llm.corp.test/chat", []byte("{}"), 200)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if half {
		_, err = bufio.NewReader(res.Body).ReadString('\n')
		return err
	}
	if all, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(all), "data: [DONE]\n\n") {
		return fmt.Errorf("an answer ended with %w after %d bytes", err, len(all))
	}
	return nil
}

// eventStream is open all the time.
type eventStream struct{ open []*http.Response }

func (s *eventStream) begin(ctx context.Context, c *soakClients) error {
	for _, h := range c.both() {
		res, err := request(ctx, h, "GET", "https://api.corp.test/v1/events", nil, 200)
		if err != nil {
			return err
		}
		s.open = append(s.open, res)
		if got, err := bufio.NewReader(res.Body).ReadString('\n'); got != "data: begun\n" {
			return fmt.Errorf("a stream began with %q, %w", got, err)
		}
	}
	return nil
}

func (s *eventStream) goOn(context.Context, *soakClients) error { return nil }

func (s *eventStream) end(context.Context, *soakClients) error {
	for _, res := range s.open {
		res.Body.Close()
	}
	return nil
}

// tunnelled talks to a server that no rule names; one of its tunnels is left
// while the server still answers.
type tunnelled struct{}

func (tunnelled) begin(ctx context.Context, c *soakClients) error { return tunnelled{}.goOn(ctx, c) }
func (tunnelled) end(context.Context, *soakClients) error         { return nil }

func (tunnelled) goOn(ctx context.Context, c *soakClients) error {
	return calls(4, func(i int) error {
		res, err := request(ctx, c.both()[i%2], "POST", "https://plain.corp.test/x", []byte("in a tunnel"), 200)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if i < 2 {
			return nil
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	})
}

// strangers are those who cannot be served: the server is not there, or the
// client does not trust the proxy.
type strangers struct{}

func (strangers) begin(ctx context.Context, c *soakClients) error { return strangers{}.goOn(ctx, c) }
func (strangers) end(context.Context, *soakClients) error         { return nil }

func (strangers) goOn(ctx context.Context, c *soakClients) error {
	return calls(4, func(i int) error {
		res, err := request(ctx, c.both()[i%2], "GET", "https://nobody.corp.test/x", nil, 502)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res, err = request(ctx, c.blind, "GET", "https://api.corp.test/v1/x", nil, 200); err == nil {
			res.Body.Close()
			return errors.New("a client that trusts nobody was served")
		}
		return nil
	})
}
