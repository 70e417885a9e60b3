package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/token"
)

// roundTrip is a layer below.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A call of a tool may take hours, and its answer too: what was kept is given
// back as soon as the answer has begun, whatever it is.
func TestNothingIsKeptOnceTheAnswerIsThere(t *testing.T) {
	t.Parallel()
	const message = `{"jsonrpc":"2.0","id":1,"method":"m"}`
	for name, end := range map[string]func(*http.Request) (*http.Response, error){
		"answer": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
		},
		"failure of the upstream": func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") },
		"failure for want of a token": func(*http.Request) (*http.Response, error) {
			return nil, tokenAnswer(&token.Error{Class: token.SignIn})
		},
	} {
		held := newMemory(1000)
		during := int64(-1)
		src := newClientBody(strings.NewReader(message))
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://api.example.test/", src)
		must(t, err)
		r.Header.Set("Accept", streamable)
		res, err := explaining{held: held, next: roundTrip(func(out *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, out.Body)
			during = held.left.Load()
			out.Body.Close()
			return end(out)
		})}.RoundTrip(r)
		if a, ok := errors.AsType[*proxy.Answer](err); ok != strings.Contains(name, "token") || ok && string(a.ID) != "1" || res != nil && res.Request != r {
			t.Errorf("%s: %v, %v", name, res, err)
		}
		<-src.closed
		if left := held.left.Load(); left != 1000 || during == 1000 {
			t.Errorf("%s: room for %d, of 1000, and for %d meanwhile", name, left, during)
		}
	}
}

// The connection of a refusal that nobody reads would stay busy for ever.
func TestRefusalThatIsExplainedIsClosed(t *testing.T) {
	t.Parallel()
	tok, err := token.New("value", "vault", time.Time{})
	must(t, err)
	for _, major := range []int{1, 2} {
		body := newClientBody(strings.NewReader("refused"))
		r, err := http.NewRequestWithContext(token.WithUse(t.Context(), &token.Use{Token: tok}), "GET", "https://api.example.test/", nil)
		must(t, err)
		_, err = explaining{refusals: true, next: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusUnauthorized, ProtoMajor: major, Body: body, Request: r}, nil
		})}.RoundTrip(r)
		if _, ok := errors.AsType[*proxy.Answer](err); !ok || !body.isClosed() {
			t.Errorf("HTTP/%d: %v, closed %v", major, err, body.isClosed())
		}
		if rest, _ := io.ReadAll(body); (len(rest) == 0) != (major == 1) {
			t.Errorf("HTTP/%d: %d bytes were left", major, len(rest))
		}
	}
}

// BenchmarkExplaining is what the layer costs a message that is answered.
func BenchmarkExplaining(b *testing.B) {
	buffer := make([]byte, 32<<10)
	next := roundTrip(func(r *http.Request) (*http.Response, error) {
		for {
			if _, err := r.Body.Read(buffer); err != nil {
				break
			}
		}
		r.Body.Close()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	for name, size := range map[string]int{"300B": 300, "64KiB": 64 << 10, "1MiB": 1 << 20, "8MiB": 8 << 20} {
		message := strings.Repeat("x", size)
		for layer, t := range map[string]http.RoundTripper{"without": next, "with": explaining{next: next, held: newMemory(mostGlimpses)}} {
			b.Run(name+"/"+layer, func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					// Of undeclared length: 8 MiB that is declared is not kept at all.
					r, _ := http.NewRequestWithContext(b.Context(), "POST", "https://api.example.test/", undeclared{strings.NewReader(message)})
					r.Header.Set("Accept", streamable)
					if _, err := t.RoundTrip(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
