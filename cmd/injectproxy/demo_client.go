package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// tokenRequests is how often the proxy has asked Entra for a token of its own.
func (w *demoWorld) tokenRequests() int {
	return w.entra.Count(entratest.Request{Endpoint: entratest.TokenEndpoint, Client: demoClient})
}

// stream asks the model and lets it go on only as its events arrive.
func (w *demoWorld) stream(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := w.do(ctx, w.through, http.MethodPost, w.llm, "/v1/chat/completions", `{"stream":true}`)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the LLM endpoint answered %d", res.StatusCode)
	}
	var words []string
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var event struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil || len(event.Choices) == 0 {
			return words, fmt.Errorf("the LLM endpoint sent %q", data)
		}
		words = append(words, event.Choices[0].Delta.Content)
		select {
		case w.events <- struct{}{}:
		case <-ctx.Done():
			return words, ctx.Err()
		}
	}
	return words, expect(lines.Err(), len(words) == len(demoWords), "the stream ended after %d of %d events", len(words), len(demoWords))
}

// do sends one request.
func (w *demoWorld) do(ctx context.Context, c *http.Client, method string, s *demoServer, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+s.authority+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
	}
	return c.Do(req)
}

func (w *demoWorld) get(ctx context.Context, c *http.Client, s *demoServer, path string) (int, string, error) {
	return read(w.do(ctx, c, http.MethodGet, s, path, ""))
}

func (w *demoWorld) post(ctx context.Context, c *http.Client, s *demoServer, path, body string) (int, string, error) {
	return read(w.do(ctx, c, http.MethodPost, s, path, body))
}

func read(res *http.Response, err error) (int, string, error) {
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func statuses(seen []demoRequest) string {
	var s []string
	for _, r := range seen {
		s = append(s, fmt.Sprint(r.status))
	}
	return strings.Join(s, ", then ")
}

// expect returns err, or an error of its own if the claim does not hold.
func expect(err error, holds bool, format string, args ...any) error {
	if err != nil || holds {
		return err
	}
	return fmt.Errorf(format, args...)
}
