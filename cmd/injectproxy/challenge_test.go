package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// challengeFor is a claims challenge whose base64 has padding and both letters
// in which the two alphabets differ, and the value by which it is known again.
func challengeFor(i int) (claims, value string) {
	value = fmt.Sprintf("%02d?>~00~??>", i)
	return `{"access_token":{"nbf":{"essential":true,"value":"` + value + `"}}}`, value
}

// spellings are the ways in which servers write a challenge.
func spellings(t *testing.T, claims string) map[string]string {
	t.Helper()
	std := base64.StdEncoding.EncodeToString([]byte(claims))
	if !strings.HasSuffix(std, "=") || !strings.Contains(std, "+") || !strings.Contains(std, "/") {
		t.Fatalf("%s does not tell the spellings apart", std)
	}
	rawStd, rawURL := strings.TrimRight(std, "="), base64.RawURLEncoding.EncodeToString([]byte(claims))
	return map[string]string{
		"padded":            `Bearer realm="", error="insufficient_claims", claims="` + std + `"`,
		"unpadded":          `Bearer error="insufficient_claims", claims="` + rawStd + `"`,
		"base64url":         `Bearer error="insufficient_claims", claims="` + rawURL + `"`,
		"unquoted":          `Bearer claims=` + std + `, error=insufficient_claims`,
		"lower-case scheme": `bearer claims="` + std + `"`,
		"invalid_token too": `Bearer error="invalid_token", error_description="no claims=here", claims="` + std + `"`,
		"among several":     `Basic realm="x, y", PoP nonce="a\"b", Bearer error="insufficient_claims", claims="` + rawURL + `", Negotiate`,
	}
}

// demanding is an API that refuses the first token which it sees after a
// demand was made, and takes any other.
type demanding struct {
	mu        sync.Mutex
	status    int
	challenge string // "" takes any token
	refused   string
}

func (d *demanding) demand(status int, challenge string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status, d.challenge, d.refused = status, challenge, ""
}

func (d *demanding) answer(w http.ResponseWriter, s sighting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.challenge == "" || d.refused != "" && s.bearer() != d.refused:
		return
	case d.refused == "":
		d.refused = s.bearer()
	}
	w.Header().Set("WWW-Authenticate", d.challenge)
	w.WriteHeader(d.status)
}

func TestClaimsInEverySpellingReachTheIdentityServiceAndCostOneReplay(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	a := c.fresh()
	d := new(demanding)
	o := newOrigin(t, "h2", d.answer, "api.example.test")
	b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))})
	call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
	o.taken()
	n := 0
	anyClaims, _ := challengeFor(n)
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		for name := range spellings(t, anyClaims) {
			n++
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				claims, value := challengeFor(n)
				d.demand(status, spellings(t, claims)[name])
				before := len(c.asks(a))
				call(t, b.client("h2"), "POST", o.url("/x"), strings.NewReader("body")).wantStatus(t, http.StatusOK)
				if seen := o.taken(); len(seen) != 2 || seen[0].bearer() == seen[1].bearer() || seen[1].size != 4 {
					t.Errorf("the upstream saw %d requests, want one replay with another token", len(seen))
				}
				asks := c.asks(a)[before:]
				if len(asks) != 1 || nbf(asks[0]) != value {
					t.Errorf("asked %v, want once, with %s", asks, claims)
				}
			})
		}
	}
}

// nbf is the value of the challenge that a request for a token met.
func nbf(r entratest.Request) string {
	var claims struct {
		AccessToken struct {
			NBF struct{ Value string }    `json:"nbf"`
			Cap struct{ Values []string } `json:"xms_cc"`
		} `json:"access_token"`
	}
	if json.Unmarshal([]byte(r.Claims), &claims) != nil || len(claims.AccessToken.Cap.Values) == 0 {
		return "" // it has to say that it understands challenges, too
	}
	return claims.AccessToken.NBF.Value
}

// A managed identity cannot be asked with claims, but for another token.
func TestClaimsForceAnotherTokenOfEachCredential(t *testing.T) {
	c := newCloud(t)
	c.each(t, func(t *testing.T, p principal) {
		a := c.fresh()
		claims, value := challengeFor(0)
		d := new(demanding)
		d.demand(http.StatusUnauthorized, spellings(t, claims)["padded"])
		o := newOrigin(t, "h2", d.answer, "api.example.test")
		b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))})
		call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
		if seen := o.taken(); len(seen) != 2 || seen[0].bearer() == seen[1].bearer() {
			t.Errorf("the upstream saw %d requests, want one replay with another token", len(seen))
		}
		asks := c.asks(a)
		switch last := asks[len(asks)-1]; {
		case len(asks) != 2:
			t.Errorf("%d requests for a token, want 2", len(asks))
		case p.managed && (last.Claims != "" || last.Form.Has("claims")):
			t.Errorf("claims %q were sent to an endpoint that knows none", last.Claims)
		case !p.managed && nbf(last) != value:
			t.Errorf("claims %q, want %s", last.Claims, claims)
		}
	})
}
