package inject_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestHeadersThatReachTheUpstream(t *testing.T) {
	t.Parallel()
	set := []inject.Header{{Name: "x-apim-key", Value: literal("key 1\n")}}
	for _, c := range []struct {
		name   string
		o      inject.Options
		client http.Header
		want   map[string]string // of the headers the client or the rule names
		asked  int
	}{
		{"none", inject.Options{Scheme: "Bearer"}, nil,
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"replaced", inject.Options{Scheme: "Bearer"}, http.Header{"Authorization": {"Bearer mine"}},
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"all of them replaced, in any case", inject.Options{Scheme: "Bearer"},
			http.Header{"Authorization": {"a", "b"}, "authorization": {"c"}, "AUTHORIZATION": {"d", "e"}},
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"bare token in a header of its own", inject.Options{Header: "x-api-key"}, http.Header{"X-Api-Key": {"dummy"}, "Authorization": {"Basic mine"}},
			map[string]string{"X-Api-Key": `["the-token"]`, "Authorization": `["Basic mine"]`}, 1},
		{"kept", inject.Options{Scheme: "Bearer", Keep: true}, http.Header{"Authorization": {"Bearer mine"}},
			map[string]string{"Authorization": `["Bearer mine"]`}, 0},
		{"kept in any case", inject.Options{Scheme: "Bearer", Keep: true}, http.Header{"authorization": {"Bearer mine"}},
			map[string]string{"Authorization": `["Bearer mine"]`}, 0},
		{"nothing to keep", inject.Options{Scheme: "Bearer", Keep: true}, nil,
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"empty is nothing to keep", inject.Options{Scheme: "Bearer", Keep: true}, http.Header{"Authorization": {""}},
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"kept, but stripped", inject.Options{Scheme: "Bearer", Keep: true, Strip: []string{"authorization"}}, http.Header{"Authorization": {"Bearer mine"}},
			map[string]string{"Authorization": `["Bearer the-token"]`}, 1},
		{"stripped in any case", inject.Options{Scheme: "Bearer", Strip: []string{"x-api-key"}}, http.Header{"X-Api-Key": {"a", "b"}, "x-api-KEY": {"c"}, "X-Api-Keys": {"d"}},
			map[string]string{"X-Api-Key": `[]`, "X-Api-Keys": `["d"]`}, 1},
		{"set", inject.Options{Scheme: "Bearer", Headers: set}, nil,
			map[string]string{"X-Apim-Key": `["key 1"]`}, 1},
		{"set over the client's", inject.Options{Scheme: "Bearer", Headers: set}, http.Header{"X-Apim-Key": {"a", "b"}, "x-apim-key": {"c"}},
			map[string]string{"X-Apim-Key": `["key 1"]`}, 1},
		{"set though the client's token is kept", inject.Options{Keep: true, Headers: set, Strip: []string{"x-b"}}, http.Header{"Authorization": {"mine"}, "X-B": {"b"}},
			map[string]string{"X-Apim-Key": `["key 1"]`, "X-B": `[]`, "Authorization": `["mine"]`}, 0},
		{"nothing else is touched", inject.Options{Scheme: "Bearer"}, http.Header{"Accept": {"a", "b"}, "X-Forwarded-For": {"1.2.3.4"}, "User-Agent": {"ua"}},
			map[string]string{"Accept": `["a" "b"]`, "X-Forwarded-For": `["1.2.3.4"]`, "User-Agent": `["ua"]`}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, proto string) {
				up, src := newUpstream(t, proto), new(source)
				req := get(t, up.URL+"/v1/x?q=1")
				if c.client != nil {
					req.Header = c.client.Clone()
				}
				before := maps.Clone(req.Header)
				if err := do(t, up.route(t, src, c.o), req); err != nil {
					t.Fatal(err)
				}
				seen := up.last()
				for name, v := range c.want {
					want(t, name, values(seen.Header, name), v)
				}
				want(t, "acquisitions", src.asked, c.asked)
				want(t, "the caller's headers", fmt.Sprint(req.Header), fmt.Sprint(before))
			})
		})
	}
}

func TestNothingElseIsAddedOrTaken(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		up := newUpstream(t, proto)
		request := func() *http.Request {
			req := get(t, up.URL+"/v1/a%2Fb?x=%zz;&y")
			req.Header = http.Header{"Accept-Encoding": {"br"}, "User-Agent": {""}, "Cookie": {"a=b"}, "X-A": {"1", "2"}}
			return req
		}
		if err := do(t, up.Client().Transport, request()); err != nil {
			t.Fatal(err)
		}
		direct := up.last()
		if err := do(t, up.route(t, new(source), inject.Options{Scheme: "Bearer"}), request()); err != nil {
			t.Fatal(err)
		}
		injected := up.last()
		want(t, "headers", without(injected.Header, "Authorization"), without(direct.Header))
		want(t, "target", injected.RequestURI, direct.RequestURI)
		want(t, "host", injected.Host, direct.Host)
	})
}

func TestValueThatNoHeaderMayCarryIsNeverSent(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	options := map[string]inject.Options{"an error": {Headers: []inject.Header{{Name: "X-Key", Value: func() (string, error) { return "", errors.New(secret) }}}}}
	for _, v := range []string{"\r", "\n", "\x00", "\x7f", "\xff", "é", "\r\nX-Smuggled: 1"} {
		options[fmt.Sprintf("%q inside", v)] = inject.Options{Headers: []inject.Header{{Name: "X-Key", Value: literal(secret + v + secret)}}}
		options[fmt.Sprintf("%q in the scheme", v)] = inject.Options{Scheme: "Bearer" + v + "x"}
	}
	for _, v := range []string{"", "\n", " " + secret, secret + " ", "\t" + secret, secret + "\n\n", secret + "\n\r"} {
		options[fmt.Sprintf("%q", v)] = inject.Options{Headers: []inject.Header{{Name: "X-Key", Value: literal(v)}}}
	}
	up := newUpstream(t, "HTTP/1.1")
	for name, o := range options {
		t.Run(name, func(t *testing.T) {
			req := get(t, up.URL+"/v1/x")
			sent := &body{Reader: strings.NewReader("body")}
			req.Method, req.Body = "POST", sent
			err := do(t, up.route(t, new(source), o), req)
			known := (*token.Error)(nil)
			if !errors.As(err, &known) || known.Class != token.Misconfigured {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the error tells the value: %v", err)
			}
			want(t, "sent", up.last() != nil, false)
			want(t, "body closed", sent.closed, true)
		})
	}
}

func TestSourcesOwnErrorIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	own := &token.Error{Class: token.SignIn, Source: "test", Message: "sign in"}
	up := newUpstream(t, "HTTP/1.1")
	use := new(token.Use)
	for name, rt := range map[string]http.RoundTripper{
		"token":  up.route(t, &source{err: own}, inject.Options{}),
		"header": up.route(t, new(source), inject.Options{Headers: []inject.Header{{Name: "X", Value: func() (string, error) { return "", own }}}}),
	} {
		t.Run(name, func(t *testing.T) {
			req := get(t, up.URL+"/v1/x")
			sent := &body{Reader: strings.NewReader("body")}
			req.Body = sent
			err := do(t, rt, req.WithContext(token.WithUse(req.Context(), use)))
			got := (*token.Error)(nil)
			if !errors.As(err, &got) || got.Class != token.SignIn {
				t.Errorf("got %v", err)
			}
			want(t, "sent", up.last() != nil, false)
			want(t, "attempts", use.Attempts, 0)
			want(t, "body closed", sent.closed, true)
		})
	}
}

func TestTwoValuesToKeepAreRefused(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, "HTTP/1.1")
	rt := up.route(t, new(source), inject.Options{Scheme: "Bearer", Keep: true})
	for _, h := range []http.Header{{"Authorization": {"a", "b"}}, {"Authorization": {"a"}, "authorization": {"b"}}} {
		req := get(t, up.URL+"/v1/x")
		req.Header = h
		if err := do(t, rt, req); !errors.Is(err, inject.ErrRefused) {
			t.Errorf("%v: got %v", h, err)
		}
		want(t, "sent", up.last() != nil, false)
	}
}

func TestUseTellsWhatWasAttached(t *testing.T) {
	t.Parallel()
	up, src := newUpstream(t, "HTTP/1.1"), new(source)
	rt := up.route(t, src, inject.Options{Scheme: "Bearer", Keep: true})
	next, err := token.New("from-retry", "test", (token.Token{}).Expiry())
	if err != nil {
		t.Fatal(err)
	}
	use := &token.Use{Next: next}
	for i, attached := range []string{"from-retry", "the-token"} { // Next counts once
		req := get(t, up.URL+"/v1/x")
		do(t, rt, req.WithContext(token.WithUse(req.Context(), use)))
		want(t, "sent", up.last().Header.Get("Authorization"), "Bearer "+attached)
		want(t, "noted", use.Token.Reveal(), attached)
		want(t, "attempts", use.Attempts, i+1)
	}
	req := get(t, up.URL+"/v1/x")
	req.Header.Set("Authorization", "mine")
	do(t, rt, req.WithContext(token.WithUse(req.Context(), use)))
	want(t, "token noted of a client's own", use.Token.IsZero(), true)
}
