package exchange

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

const (
	tenant = "16b3c013-d300-468d-8c1d-000000000000"
	gateID = "58348f96-645d-4a2e-8c1d-000000000000"
	scope  = "https://graph.microsoft.com/User.Read"

	// canary stands for a secret: no error and no log may show it.
	canary = "CANARY-s3cr3t-5f2e"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// thorough skips what takes a while, unless all is wanted.
func thorough(t testing.TB) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it takes its time: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
}

// stub is an authority without a network, and without a key: it answers a
// request for a token as its test says.
type stub struct {
	t      *testing.T
	answer func(r *http.Request, form url.Values) (status int, body string)

	place func(tenant string) string // of a tenant's endpoints; nil: where they should be

	mu    sync.Mutex
	forms []url.Values
}

// RoundTrip implements [http.RoundTripper].
func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		tenant, place := strings.Split(r.URL.Path, "/")[1], placeOf
		if s.place != nil {
			place = s.place
		}
		return reply(r, http.StatusOK, place(tenant)), nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.forms = append(s.forms, form)
	s.mu.Unlock()
	status, body := s.answer(r, form)
	if status == 0 {
		return nil, r.Context().Err()
	}
	return reply(r, status, body), nil
}

// placeOf says where the endpoints of a tenant of the public cloud are.
func placeOf(tenant string) string {
	return fmt.Sprintf(`{"issuer":"%s/v2.0","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/oauth2/v2.0/token"}`, publicCloud+"/"+tenant)
}

func (s *stub) asked() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms
}

func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// gives is an answer with a token.
func gives(value string, life int) (int, string) {
	return http.StatusOK, fmt.Sprintf(`{"token_type":"Bearer","access_token":%q,"expires_in":%d,"ext_expires_in":%[2]d,"refresh_token":"refresh-%[1]s"}`, value, life)
}

// refuses is an answer without one.
func refuses(code int, claims string) (int, string) {
	return http.StatusBadRequest, fmt.Sprintf(`{"error":"invalid_grant","error_description":"AADSTS%d: %s Trace ID: x","error_codes":[%[1]d],"claims":%[3]q}`, code, canary, claims)
}

// exchanger returns an Exchanger that asks s, with a secret.
func (s *stub) exchanger(change ...func(*Options)) *Exchanger {
	s.t.Helper()
	return s.in(s.t, change...)
}

// in is exchanger for a test or a benchmark.
func (s *stub) in(t testing.TB, change ...func(*Options)) *Exchanger {
	t.Helper()
	o := Options{ClientID: gateID, Scopes: []string{scope}, Credential: Credential{SecretFile: write(t, "secret", canary+"\n")}, HTTP: &http.Client{Transport: s}}
	for _, f := range change {
		f(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// write returns the path of a new file.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// jwt returns a token with that payload, signed by nobody.
func jwt(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// of returns a token of the user with that object id.
func of(oid string) string { return jwt(fmt.Sprintf(`{"oid":%q,"tid":%q}`, oid, tenant)) }

// wantToken checks what an exchange returned.
func wantToken(t *testing.T, want, got string, err error) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// wantRefusal checks that err is a refusal for that reason, which shows no secret.
func wantRefusal(t *testing.T, want Reason, err error) *Refusal {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if r.Reason != want {
		t.Errorf("got %q (%v), want %q", r.Reason, r, want)
	}
	if r.Detail == "" || strings.ContainsAny(r.Detail, "\r\n") {
		t.Errorf("detail %q", r.Detail)
	}
	if all := fmt.Sprintf("%v %+v %#v", err, *r, r); strings.Contains(all, canary) || strings.Contains(all, "eyJ") {
		t.Errorf("the refusal shows a secret: %s", all)
	}
	return r
}
