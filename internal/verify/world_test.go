package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	home   = "11111111-1111-4111-8111-11111111aaaa"
	branch = "22222222-2222-4222-8222-22222222bbbb"
	other  = "33333333-3333-4333-8333-33333333cccc" // a tenant that is not listed
	api    = "44444444-4444-4444-8444-44444444dddd"
	uri    = "api://" + api
	app    = "55555555-5555-4555-8555-55555555eeee"
	ada    = "66666666-6666-4666-8666-66666666ffff"
)

// signer is a key that signs tokens.
type signer struct {
	kid     string
	private crypto.Signer
	method  jwt.SigningMethod
}

// Keys take long to make: all tests have the same.
var (
	first  = rsaSigner("first", 2048)
	second = rsaSigner("second", 2048)
	curve  = sync.OnceValue(func() signer {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return signer{kid: "curve", private: key, method: jwt.SigningMethodES256}
	})
)

func rsaSigner(kid string, bits int) func() signer {
	return sync.OnceValue(func() signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return signer{kid: kid, private: key, method: jwt.SigningMethodRS256}
	})
}

// fields are members of a JSON object. nil removes one where they are put into
// others.
type fields map[string]any

func (f fields) with(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func (f fields) json() string {
	data, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// sign returns what header and claims say, under s's signature.
func (s signer) sign(header, claims string) string {
	text := encoded(header) + "." + encoded(claims)
	signature, err := s.method.Sign(text, s.private)
	if err != nil {
		panic(err)
	}
	return text + "." + encoded(string(signature))
}

// encoded returns s as a part of a token.
func encoded(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// header is what s's tokens have.
func (s signer) header() fields { return fields{"typ": "JWT", "alg": s.method.Alg(), "kid": s.kid} }

// token returns a valid token but for what claims say otherwise.
func (s signer) token(claims fields) string {
	return s.sign(s.header().json(), usual().with(claims).json())
}

// usual are the claims of a user's token of v2.
func usual() fields {
	now := time.Now()
	return fields{
		"aud": api, "iss": "https://login.microsoftonline.com/" + home + "/v2.0", "tid": home, "ver": "2.0",
		"azp": app, "oid": ada, "scp": "read write", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// jwk returns s as it is published.
func (s signer) jwk() fields {
	encode := base64.RawURLEncoding.EncodeToString
	switch key := s.private.Public().(type) {
	case *rsa.PublicKey:
		return fields{"kty": "RSA", "use": "sig", "kid": s.kid, "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		return fields{"kty": "EC", "crv": "P-256", "use": "sig", "kid": s.kid, "x": encode(point[1:33]), "y": encode(point[33:])}
	}
	panic("no such key")
}

// cloud is where keys are published: an http.RoundTripper in place of it.
type cloud struct {
	mu     sync.Mutex
	sets   map[string]string // by tenant, as JSON
	asked  map[string]int    // by tenant
	at     map[string]bool   // hosts that were asked
	times  []time.Time       // of all requests
	delay  time.Duration     // before an answer
	answer func(*http.Request) (*http.Response, error)
}

// newCloud publishes first for both tenants.
func newCloud() *cloud {
	c := &cloud{sets: map[string]string{}, asked: map[string]int{}, at: map[string]bool{}}
	c.publish(home, first())
	c.publish(branch, first())
	return c
}

func (c *cloud) publish(tenant string, signers ...signer) {
	keys := make([]fields, 0, len(signers))
	for _, s := range signers {
		keys = append(keys, s.jwk())
	}
	c.publishJSON(tenant, fields{"keys": keys}.json())
}

func (c *cloud) publishJSON(tenant, set string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets[tenant] = set
}

// answers puts f in place of what is published; nil ends that.
func (c *cloud) answers(f func(*http.Request) (*http.Response, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func (c *cloud) fetches(tenant string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[tenant]
}

// hosts returns where keys were asked for.
func (c *cloud) hosts() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.at)
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	c.mu.Lock()
	c.asked[tenant]++
	c.at[r.URL.Host] = true
	c.times = append(c.times, time.Now())
	set, delay, answer := c.sets[tenant], c.delay, c.answer
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if answer != nil {
		return answer(r)
	}
	return reply(http.StatusOK, set), nil
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// down is the answer of a cloud that cannot be reached.
func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hang answers once the client has left.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// options accept tokens of home and branch for api, by either name.
func (c *cloud) options() Options {
	return Options{Tenants: []string{strings.ToUpper(home), branch}, Audiences: []string{api, uri}, HTTP: &http.Client{Transport: c}}
}

// inBubble runs f with a Verifier that has asked for keys once, on a clock that
// stands still while anything goes on.
func inBubble(t *testing.T, c *cloud, o Options, f func(t *testing.T, v *Verifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := mustNew(t, o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { v.Run(ctx); close(ended) }()
		synctest.Wait()
		f(t, v)
		stop()
		<-ended
	})
}

func mustNew(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// accepted fails the test unless token is valid, and returns whose it is.
func accepted(t *testing.T, v *Verifier, name, token string) *Caller {
	t.Helper()
	caller, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Errorf("%s: refused: %v", name, err)
		return &Caller{}
	}
	return caller
}

// refused fails the test unless token is invalid for that reason, in words that
// can be shown, and returns them.
func refused(t *testing.T, v *Verifier, name, token, reason string) string {
	t.Helper()
	caller, err := v.Verify(t.Context(), token)
	var bad *Invalid
	if caller != nil || !errors.As(err, &bad) {
		t.Errorf("%s: got %v, %v; want it to be refused as %s", name, caller, err, reason)
		return ""
	}
	if bad.Reason != reason || !slices.Contains(Reasons(), reason) {
		t.Errorf("%s: refused as %s (%v), want %s", name, bad.Reason, bad, reason)
	}
	if !plain(strings.ReplaceAll(bad.Description, " ", "")) {
		t.Errorf("%s: %q cannot stand in a header", name, bad.Description)
	}
	return bad.Description
}

// unavailable fails the test unless it cannot be told whether token is valid.
func unavailable(t *testing.T, v *Verifier, name, token string) {
	t.Helper()
	if caller, err := v.Verify(t.Context(), token); caller != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%s: got %v, %v; want it to be unknown", name, caller, err)
	}
}

// recorded returns a log, and what was written to it.
func recorded() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, nil)), &text
}
