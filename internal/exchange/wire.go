package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxAnswer = 256 << 10 // bytes of an answer of Entra's
	maxToken  = 64 << 10  // bytes of a token: more fits into no header
	maxLife   = 24 * time.Hour
	longer    = time.Hour // is what MSAL is told of a token's life: it takes none that ends within five minutes

	placeFor  = time.Hour // a tenant's endpoints are where they were said to be
	maxPlaces = 256       // tenants: those of callers whose tokens were accepted
)

// flawed is the error for an answer of the authority that is none, and says how.
type flawed string

func (f flawed) Error() string { return "the authority's answer " + string(f) }

// wire is the HTTP client that MSAL is given. What Entra answers is read here,
// within bounds, and MSAL sees what is needed of it alone: neither refresh tokens
// nor id tokens stay anywhere. Where a tenant's endpoints are is remembered, as
// each client of MSAL asks for it.
type wire struct {
	http      http.Client
	authority string // its host
	now       func() time.Time

	places singleflight.Group
	mu     sync.Mutex
	known  map[string]place // by URL
}

// place is an answer that says where a tenant's endpoints are.
type place struct {
	body  []byte
	until time.Time
}

// newWire returns a wire over a client that follows no redirect: it would take the
// secret and the user's token along.
func newWire(c *http.Client, authority string, now func() time.Time) *wire {
	w := &wire{http: *c, authority: authority, now: now, known: map[string]place{}}
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.http.Jar = nil
	return w
}

// CloseIdleConnections does nothing: the connections are the client's.
func (w *wire) CloseIdleConnections() {}

// Do sends r, and returns its answer with a body that has been read.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return w.place(r)
	}
	if !isAuthoritys(w.authority, r.URL.Host) {
		return nil, flawed("names an endpoint that is not on its own host: check authority_host")
	}
	res, body, err := w.send(r)
	if err == nil && (res.StatusCode == http.StatusOK || res.StatusCode == http.StatusCreated) {
		body, err = granted(body)
	}
	if err != nil {
		return nil, err
	}
	return with(res, body), nil
}

// place asks where a tenant's endpoints are, once for all who ask meanwhile. Who was
// told what came of another's time being over asks again, by its own.
func (w *wire) place(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	w.mu.Lock()
	p, ok := w.known[url]
	w.mu.Unlock()
	if ok && w.now().Before(p.until) {
		return with(&http.Response{StatusCode: http.StatusOK, Request: r}, p.body), nil
	}
	type answer struct {
		res  *http.Response
		body []byte
	}
	own := false
	ask := func() (any, error) {
		own = true
		res, body, err := w.send(r)
		if err != nil {
			return nil, err
		}
		if res.StatusCode == http.StatusOK {
			w.remember(url, body)
		}
		return answer{res, body}, nil
	}
	v, err, _ := w.places.Do(url, ask)
	for err != nil && !own && r.Context().Err() == nil && over(err) {
		v, err, _ = w.places.Do(url, ask)
	}
	if err != nil {
		return nil, err
	}
	a := v.(answer)
	copied := *a.res
	return with(&copied, a.body), nil
}

// over reports whether err says that somebody's time was over.
func over(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// remember keeps an answer that says what it was asked. A page of something in
// between does not.
func (w *wire) remember(url string, body []byte) {
	var said struct {
		Token string `json:"token_endpoint"`
	}
	if json.Unmarshal(body, &said) != nil || said.Token == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) >= maxPlaces {
		clear(w.known)
	}
	w.known[url] = place{body, w.now().Add(placeFor)}
}

// send sends r, and reads what is answered.
func (w *wire) send(r *http.Request) (*http.Response, []byte, error) {
	if r.URL.Scheme != "https" {
		return nil, nil, flawed("names an endpoint that is not https")
	}
	res, err := w.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxAnswer {
		return nil, nil, flawed("is too large")
	}
	return res, body, nil
}

// with returns res with that body.
func with(res *http.Response, body []byte) *http.Response {
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res
}

// grant is an answer that gives a token (RFC 6749, section 5.1).
type grant struct {
	Type  string  `json:"token_type"`
	Token string  `json:"access_token"`
	Life  seconds `json:"expires_in"`
}

// granted reads an answer that gives a token, and returns what MSAL needs of it.
func granted(body []byte) ([]byte, error) {
	var g grant
	switch err := json.Unmarshal(body, &g); {
	case err != nil:
		return nil, flawed("is not JSON as it should be")
	case g.Token == "":
		return nil, flawed("has no token")
	case !strings.EqualFold(g.Type, "Bearer"):
		return nil, flawed("has a token of another type than Bearer")
	case !isToken(g.Token):
		return nil, flawed("has a token that fits into no header")
	case g.Life <= 0:
		return nil, flawed("does not say how long its token is good for")
	}
	g.Type, g.Life = "Bearer", min(g.Life, seconds(maxLife/time.Second))+seconds(longer/time.Second)
	return json.Marshal(g)
}

// seconds is a number in JSON, or a string that has one.
type seconds int64

// UnmarshalJSON implements [json.Unmarshaler].
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil {
		return flawed("has a time that is no number")
	}
	*s = seconds(n)
	return nil
}

// isToken reports whether s can be sent as a bearer token (RFC 6750, section 2.1).
// Nothing else is in it that would end a header field, or begin another value.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte("-._~+/=", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}
