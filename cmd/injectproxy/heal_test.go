package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
)

// limit is the body_limit of these tests, and no multiple of any buffer.
const limit = 300<<10 + 17

// retries returns how often a refusal had the given outcome.
func (b *testbed) retries(outcome string) int64 {
	for name, n := range b.stats.All() {
		if name == outcome {
			return n
		}
	}
	b.t.Fatalf("there is no outcome %q", outcome)
	return 0
}

// payload returns a body of n bytes that repeats nowhere, and its digest.
func payload(n int) (body []byte, sum string) {
	body = make([]byte, n)
	for i := range body {
		body[i] = byte(i*7 ^ i>>8 ^ i>>16)
	}
	digest := sha256.Sum256(body)
	return body, hex.EncodeToString(digest[:])
}

// undeclared hides the length of a body.
type undeclared struct{ io.Reader }

func TestRefusedTokenIsReplacedAndTheRequestSentOnceMore(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, protected(a, apiOne), "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: "[retry]\nbody_limit = 307217\n" + entraAudiences + rule(o.url("/"))})
		c := b.client(client)
		call(t, c, "GET", o.url("/first"), nil).wantStatus(t, http.StatusOK)
		old := o.one(t).bearer()
		for i, tt := range []struct {
			name    string
			size    int
			chunked bool
		}{{"empty", 0, false}, {"1 KiB", 1 << 10, false}, {"300 KiB chunked", 300 << 10, true}, {"limit", limit, false}, {"limit chunked", limit, true}} {
			body, sum := payload(tt.size)
			var r io.Reader = bytes.NewReader(body)
			if tt.chunked {
				r = undeclared{r}
			}
			before := a.Count(forToken(apiOne))
			a.Revoke(old)
			call(t, c, "POST", o.url("/body?i=1"), r, "Authorization", "Bearer the-client's-own").wantStatus(t, http.StatusOK)
			seen := o.taken()
			if len(seen) != 2 {
				t.Fatalf("%s: the upstream saw %d requests, want 2", tt.name, len(seen))
			}
			for _, s := range seen {
				if s.sum != sum || s.size != int64(tt.size) || s.method != "POST" || s.target != "/body?i=1" || len(s.header["Authorization"]) != 1 {
					t.Errorf("%s: %s %s of %d bytes with %d tokens arrived", tt.name, s.method, s.target, s.size, len(s.header["Authorization"]))
				}
			}
			if seen[0].bearer() != old || seen[1].bearer() == old {
				t.Errorf("%s: the second attempt has the refused token", tt.name)
			}
			if got := a.Count(forToken(apiOne)) - before; got != 1 {
				t.Errorf("%s: %d requests for a token, want 1", tt.name, got)
			}
			if got := b.retries("healed"); got != int64(i+1) {
				t.Errorf("%s: %d healed, want %d", tt.name, got, i+1)
			}
			old = seen[1].bearer()
		}
		b.log.wait(t, "msg=request", "status=200", "attempt=2", "retry=healed")
	})
}

// More than the limit, or than there is memory for, is not held: the refusal
// passes, and the token is replaced for the request after.
func TestBodyThatIsNotHeldLetsTheRefusalPass(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		for _, tt := range []struct {
			name, retry string
			size        int
			chunked     bool
			outcome     string
		}{
			{"above the limit", "body_limit = 307217", limit + 1, false, "body too large"},
			{"above the limit, chunked", "body_limit = 307217", limit + 1, true, "body too large"},
			{"beyond memory", "memory = \"64KiB\"", 128 << 10, false, "memory budget"},
			{"beyond memory, chunked", "memory = \"64KiB\"", 128 << 10, true, "memory budget"},
		} {
			o := newOrigin(t, upstream, protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: "[retry]\n" + tt.retry + "\n" + entraAudiences + rule(o.url("/"))})
			c := b.client(client)
			call(t, c, "GET", o.url("/first"), nil).wantStatus(t, http.StatusOK)
			a.Revoke(o.one(t).bearer())
			body, sum := payload(tt.size)
			var r io.Reader = bytes.NewReader(body)
			if tt.chunked {
				r = undeclared{r}
			}
			wantUpstreamRefusal(t, call(t, c, "POST", o.url("/large"), r))
			if s := o.one(t); s.sum != sum {
				t.Errorf("%s: another body arrived, of %d bytes", tt.name, s.size)
			}
			b.log.wait(t, "msg=request", "path=/large", "status=401", "attempt=1", `retry="`+tt.outcome+`"`)
			if got := b.retries(tt.outcome); got != 1 {
				t.Errorf("%s: counted %d times", tt.name, got)
			}
			call(t, c, "GET", o.url("/next"), nil).wantStatus(t, http.StatusOK)
			if n := len(o.taken()); n != 1 {
				t.Errorf("%s: the next request was sent %d times", tt.name, n)
			}
		}
	})
}

// wantUpstreamRefusal fails the test unless r is the 401 of the upstream.
func wantUpstreamRefusal(t testing.TB, r reply) {
	t.Helper()
	r.wantStatus(t, http.StatusUnauthorized)
	if r.body != "the upstream's own refusal" || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer realm=") {
		t.Errorf("the refusal did not arrive as it was: %v %q", r.header, r.body)
	}
}

func TestSecondRefusalIsFinal(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, func(w http.ResponseWriter, _ sighting) { challenge(w) }, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
		wantUpstreamRefusal(t, call(t, b.client(client), "POST", o.url("/x"), strings.NewReader("body")))
		if n := len(o.taken()); n != 2 {
			t.Errorf("sent %d times, want 2", n)
		}
		b.log.wait(t, "msg=request", "status=401", "attempt=2", `retry="refused again"`)
	})
}

func TestSameTokenAgainIsNotSentAgain(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, func(w http.ResponseWriter, _ sighting) { challenge(w) }, "api.example.test")
		b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/")), files: tokenFiles})
		wantUpstreamRefusal(t, call(t, b.client(client), "POST", o.url("/x"), strings.NewReader("body")))
		if n := len(o.taken()); n != 1 {
			t.Errorf("sent %d times, want once", n)
		}
		b.log.wait(t, "msg=request", "status=401", "attempt=1", `retry="same token"`)
		b.log.wait(t, "token not replaced: its source gave the same again", "audience=a")
	})
}

func TestTokenFileThatWasReplacedCountsFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/")), files: tokenFiles})
	for _, want := range []string{tokenA, "the-next-token"} {
		b.write("a.token", want+"\n")
		call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
		if seen := o.one(t); seen.bearer() != want {
			t.Errorf("token %q, want %q", seen.bearer(), want)
		}
	}
}

func TestWhichRefusalsHeal(t *testing.T) {
	a := newIdentity(t)
	claims := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`))
	for name, tt := range map[string]struct {
		status    int
		challenge string
		heals     bool
	}{
		"bare 401":               {401, "", true},
		"403 invalid_token":      {403, `Bearer error="invalid_token"`, true},
		"403 with claims":        {403, `Bearer error="insufficient_claims", claims="` + claims + `"`, true},
		"bare 403":               {403, "", false},
		"403 insufficient_scope": {403, `Bearer error="insufficient_scope"`, false},
		"403 with broken claims": {403, `Bearer claims="%%%"`, false},
		"400 invalid_token":      {400, `Bearer error="invalid_token"`, false},
		"407 of the upstream":    {407, `Bearer error="invalid_token"`, false},
		"500 invalid_token":      {500, `Bearer error="invalid_token"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			eachLeg(t, func(t *testing.T, client, upstream string) {
				refused := ""
				o := newOrigin(t, upstream, func(w http.ResponseWriter, s sighting) {
					if refused == "" || s.bearer() == refused {
						refused = s.bearer()
						w.Header()["WWW-Authenticate"] = []string{tt.challenge}
						w.WriteHeader(tt.status)
						io.WriteString(w, "first answer")
					}
				}, "api.example.test")
				b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
				r := call(t, b.client(client), "PUT", o.url("/x"), strings.NewReader("body"))
				n := len(o.taken())
				switch {
				case tt.heals && (r.status != http.StatusOK || n != 2):
					t.Errorf("status %d after %d attempts, want 200 after 2", r.status, n)
				case !tt.heals && (r.status != tt.status || n != 1 || r.body != "first answer"):
					t.Errorf("status %d (%q) after %d attempts, want the upstream's %d", r.status, r.body, n, tt.status)
				}
				if strings.Contains(tt.challenge, claims) && a.Requests()[len(a.Requests())-1].Claims == "" {
					t.Error("the claims did not reach the identity service")
				}
			})
		})
	}
}

// What has begun to arrive at the client cannot be taken back.
func TestResponseThatHasBegunIsNeverReplayed(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, func(w http.ResponseWriter, s sighting) {
			a.Revoke(s.bearer())
			w.Header()["Trailer"] = []string{"WWW-Authenticate"}
			io.WriteString(w, "the beginning")
			http.NewResponseController(w).Flush()
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			if s.target == "/abort" {
				panic(http.ErrAbortHandler)
			}
		}, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
		for _, path := range []string{"/whole", "/abort"} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", o.url(path), strings.NewReader("body"))
			must(t, err)
			r, err := trySend(b.client(client), req)
			if r.status != http.StatusOK || r.body != "the beginning" || (err != nil) != (path == "/abort") {
				t.Errorf("%s: status %d, %q, %v", path, r.status, r.body, err)
			}
			if n := len(o.taken()); n != 1 {
				t.Errorf("%s: sent %d times", path, n)
			}
		}
	})
}
