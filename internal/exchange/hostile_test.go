package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestAnswersThatAreNoneGiveNoToken(t *testing.T) {
	t.Parallel()
	const good = `"token_type":"Bearer","expires_in":3600`
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   Reason
	}{
		{"no JSON", 200, "<html>" + canary, Misconfigured},
		{"nothing", 200, "", Misconfigured},
		{"cut", 200, `{` + good + `,"access_token":"` + canary, Misconfigured},
		{"a list", 200, "[]", Misconfigured},
		{"no token", 200, `{` + good + `}`, Misconfigured},
		{"an error with the wrong status", 200, `{"error":"invalid_grant"}`, Misconfigured},
		{"a token that is no text", 200, `{` + good + `,"access_token":{}}`, Misconfigured},
		{"another type", 200, `{"token_type":"pop","expires_in":3600,"access_token":"` + canary + `"}`, Misconfigured},
		{"no type", 200, `{"expires_in":3600,"access_token":"` + canary + `"}`, Misconfigured},
		{"no end", 200, `{"token_type":"Bearer","access_token":"` + canary + `"}`, Misconfigured},
		{"the end in the past", 200, `{"token_type":"Bearer","expires_in":-1,"access_token":"` + canary + `"}`, Misconfigured},
		{"an end that is no number", 200, `{"token_type":"Bearer","expires_in":"soon","access_token":"` + canary + `"}`, Misconfigured},
		{"an end that overflows", 200, `{"token_type":"Bearer","expires_in":99999999999999999999,"access_token":"` + canary + `"}`, Misconfigured},
		{"a new line", 200, `{` + good + `,"access_token":"` + canary + `\r\nX-Admin: 1"}`, Misconfigured},
		{"a blank", 200, `{` + good + `,"access_token":"` + canary + ` x"}`, Misconfigured},
		{"a comma", 200, `{` + good + `,"access_token":"` + canary + `,Basic x"}`, Misconfigured},
		{"another script", 200, `{` + good + `,"access_token":"токен"}`, Misconfigured},
		{"too large a token", 200, `{` + good + `,"access_token":"` + strings.Repeat("x", maxToken+1) + `"}`, Misconfigured},
		{"too large an answer", 200, `{` + good + `,"access_token":"x","x":"` + strings.Repeat("x", maxAnswer) + `"}`, Misconfigured},
		{"too large an answer, mostly blank", 200, `{` + good + `,"access_token":"x"}` + strings.Repeat(" ", maxAnswer), Misconfigured},
		{"too large an answer that refuses", 400, strings.Repeat(canary, maxAnswer), Misconfigured},
		{"another user's token", 200, `{` + good + `,"access_token":"` + of("bob") + `"}`, Misconfigured},
		{"another tenant's token", 200, `{` + good + `,"access_token":"` + jwt(`{"oid":"ada","tid":"x"}`) + `"}`, Misconfigured},
		{"a refusal without a body", 400, "", Misconfigured},
		{"a refusal in words", 400, "AADSTS65001 " + canary, Consent},
		{"a portal", 503, "<html>" + canary, Unavailable},
		{"too many", 429, `{"error":"` + canary + `"}`, Unavailable},
		{"a busy Entra that says more", 503, `{"error_codes":[65001]}`, Consent},
		{"not modified", 304, "", Misconfigured},
		{"a word for the log", 400, `{"error":"` + canary + `\n"}`, Misconfigured},
	} {
		var log bytes.Buffer
		s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return tt.status, tt.body }}
		e := s.exchanger(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		got, err := e.Exchange(t.Context(), tenant, of("ada"))
		if got != "" {
			t.Errorf("%s: got %q", tt.name, got)
		}
		if wantRefusal(t, tt.want, err); t.Failed() {
			t.Fatalf("above: %s", tt.name)
		}
		if r := err.(*Refusal); strings.HasPrefix(tt.name, "too large an answer") != strings.Contains(r.Detail, "too large") {
			t.Errorf("%s: %v", tt.name, r)
		}
		if log.Len() > 0 {
			t.Errorf("%s: the log has %s", tt.name, log.String())
		}
	}
}

func TestEndOfATokenIsBelievedForADay(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives("good", 1<<40) }}
	_, life, err := s.exchanger().ask(t.Context(), plainQuery(tenant, of("ada")))
	if err != nil || life > maxLife || life < maxLife/2 {
		t.Errorf("good for %s, %v", life, err)
	}
}

func TestOpaqueTokensAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"opaque", "a.b.c", jwt("[]"), jwt(`{"oid":"ADA","tid":"` + strings.ToUpper(tenant) + `"}`), jwt(`{"sub":"x"}`), "a.b.c.d.e"} {
		s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives(token, 3600) }}
		got, err := s.exchanger().Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, token, got, err)
	}
}

func TestClaimsOfEntraAreAnObjectOrNoChallenge(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	for _, tt := range []struct {
		code   int
		claims string
		want   Reason
	}{
		{50076, good, Challenged}, {50079, good, Challenged}, {50158, good, Challenged}, {53003, good, Challenged},
		{50076, "", SignIn}, {53003, "", Policy},
		{50076, "x", SignIn}, {50076, "[]", SignIn}, {50076, "null", SignIn}, {50076, good + good, SignIn}, {53003, "{", SignIn},
		{50076, `{"a":"` + strings.Repeat("x", maxClaims) + `"}`, Policy},
		{65001, good, Consent}, {7000215, good, Misconfigured}, {90033, good, Unavailable}, // nothing that the user could prove
	} {
		s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return refuses(tt.code, tt.claims) }}
		_, err := s.exchanger().Exchange(t.Context(), tenant, of("ada"))
		r := wantRefusal(t, tt.want, err)
		if (r.Reason == Challenged) != (r.Claims == good) || r.Reason != Challenged && r.Claims != "" {
			t.Errorf("AADSTS%d with %.40q: claims %.40q", tt.code, tt.claims, r.Claims)
		}
	}
}

func TestCodesHaveTheirReason(t *testing.T) {
	t.Parallel()
	for reason, codes := range map[Reason][]int{
		SignIn:        {50173, 50132, 50133, 70043, 500133, 50057, 50058, 50074},
		Consent:       {65001, 90094, 65004},
		Policy:        {53000, 53001, 53002, 53004, 50105, 530032},
		Misconfigured: {50013, 500131, 500011, 70011, 700016, 7000215, 7000222, 700027, 700024, 70021, 7000114, 90002, 650053, 12345, 0},
		Unavailable:   {90033, 90055, 50196},
	} {
		for _, code := range codes {
			_, body := refuses(code, "")
			if r := refused(http.StatusBadRequest, nil, []byte(body)); r.Reason != reason || r.Detail == "" {
				t.Errorf("AADSTS%d: %+v, want %q", code, r, reason)
			}
		}
	}
	for body, want := range map[string]Reason{
		`{"error":"interaction_required","error_codes":[99999]}`:                            SignIn,
		`{"error":"invalid_grant","suberror":"consent_required","error_codes":[99999]}`:     Consent,
		`{"error":"interaction_required","error_codes":[99999],"claims":"{\"a\":{}}"}`:      Challenged,
		`{"error":"temporarily_unavailable"}`:                                               Unavailable,
		`{"error":"invalid_grant","error_codes":[99999],"error_description":"AADSTS99999"}`: Misconfigured,
	} {
		if r := refused(http.StatusBadRequest, nil, []byte(body)); r.Reason != want {
			t.Errorf("%s: %+v, want %q", body, r, want)
		}
	}
}

func TestWaitOfEntraIsPassedOn(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{"7": "7s", "": "0s", "-1": "0s", "soon": "0s", "999999999999": "1h0m0s"} {
		r := refused(http.StatusTooManyRequests, http.Header{"Retry-After": {header}}, nil)
		if got := r.RetryAfter.String(); r.Reason != Unavailable || header != "999999999999" && got != want || r.RetryAfter > maxRetryAfter {
			t.Errorf("Retry-After: %s: %+v", header, r)
		}
	}
}

func TestRedirectOfEntraIsNotFollowed(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 8)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.URL.Path }))
	defer elsewhere.Close()
	var front *httptest.Server
	front = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, strings.ReplaceAll(placeOf(tenant), publicCloud, front.URL))
			return
		}
		http.Redirect(w, r, elsewhere.URL+"/token", http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	s := &stub{t: t}
	e := s.exchanger(func(o *Options) { o.Authority, o.HTTP = front.URL, front.Client() })
	_, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantRefusal(t, Misconfigured, err)
	if len(reached) > 0 {
		t.Errorf("the secret and the token went on to %s", <-reached)
	}
}

func TestEndpointsThatAreNotEntrasAreNotAsked(t *testing.T) {
	t.Parallel()
	elsewhere := func(host string) string {
		return strings.Replace(placeOf(tenant), `"token_endpoint":"`+publicCloud, `"token_endpoint":"https://`+host, 1)
	}
	for name, place := range map[string]string{
		"in the clear":     strings.ReplaceAll(placeOf(tenant), publicCloud+"/"+tenant+"/oauth2", "http://login.microsoftonline.com/"+tenant+"/oauth2"),
		"another issuer":   strings.ReplaceAll(placeOf(tenant), publicCloud, "https://login.example"),
		"nothing":          "{}",
		"a page":           "<html>" + canary,
		"another host":     elsewhere("10.0.0.7"),
		"another port":     elsewhere("login.microsoftonline.com:8443"),
		"another cloud":    elsewhere("login.partner.microsoftonline.cn"),
		"a host below":     elsewhere("evil.login.microsoftonline.com"),
		"a longer host":    elsewhere("login.microsoftonline.com.evil.example"),
		"somebody's":       elsewhere("login.microsoftonline.com@evil.example"),
		"too large a page": strings.Repeat("x", maxAnswer+1),
	} {
		s := &stub{t: t, place: func(string) string { return place }, answer: func(*http.Request, url.Values) (int, string) { return gives("good", 3600) }}
		_, err := s.exchanger().Exchange(t.Context(), tenant, of("ada"))
		wantRefusal(t, Misconfigured, err)
		if n := len(s.asked()); n != 0 {
			t.Errorf("%s: %d requests were sent", name, n)
		}
	}
}

func TestHostsOfAnAuthorityAreItsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		authority, host string
		its, graph      bool
	}{
		{"login.microsoftonline.com", "login.microsoftonline.com", true, true},
		{"login.microsoftonline.com", "Login.MicrosoftOnline.com:443", true, true},
		{"login.windows.net", "login.microsoftonline.com", true, false},
		{"login.microsoftonline.com", "login.microsoftonline.us", false, false},
		{"login.microsoftonline.com", "graph.microsoft.com", false, true},
		{"login.microsoftonline.us", "dod-graph.microsoft.us", false, true},
		{"login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn:443", false, true},
		{"corp.ciamlogin.com", "graph.microsoft.com", false, true},
		{"corp.ciamlogin.com", "login.microsoftonline.com", false, false},
		{"127.0.0.1:8443", "127.0.0.1:8443", true, true},
		{"127.0.0.1:8443", "127.0.0.1:8444", false, false},
		{"127.0.0.1:8443", "", false, false},
	} {
		if its, graph := isAuthoritys(c.authority, c.host), isGraph(c.authority, c.host); its != c.its || graph != c.graph {
			t.Errorf("%s names %q: %v, as Graph %v", c.authority, c.host, its, graph)
		}
	}
}

func TestTenantsAreOneSegmentOfThePath(t *testing.T) {
	t.Parallel()
	s := &stub{t: t}
	e := s.exchanger()
	for _, tenant := range []string{"", "..", "a/b", "a%2fb", "a?b", "a#b", "a@b", "a b"} {
		_, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantRefusal(t, Misconfigured, err)
	}
	if n := len(s.asked()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestUnreachableEntraHasItsReason(t *testing.T) {
	t.Parallel()
	fails := func(err error) http.RoundTripper {
		return roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })
	}
	for _, tt := range []struct {
		name string
		err  error
		want Reason
		says string
	}{
		{"name", &net.DNSError{Err: canary, Name: "x"}, Unavailable, "resolved"},
		{"refused", &net.OpError{Op: "dial", Err: fmt.Errorf("refused")}, Unavailable, "reached"},
		{"certificate", &tls.CertificateVerificationError{Err: fmt.Errorf("unknown authority")}, Misconfigured, "upstream_ca"},
		{"time", context.DeadlineExceeded, Unavailable, "in time"},
		{"cut", io.ErrUnexpectedEOF, Unavailable, "reached"},
	} {
		s := &stub{t: t}
		_, err := s.exchanger(func(o *Options) { o.HTTP = &http.Client{Transport: fails(tt.err)} }).Exchange(t.Context(), tenant, of("ada"))
		if r := wantRefusal(t, tt.want, err); !strings.Contains(r.Detail, tt.says) {
			t.Errorf("%s: %v", tt.name, r)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTokenOfTheApplicationGoesToGraphAlone(t *testing.T) {
	t.Parallel()
	const id = `{"id":"own","value":[{"id":"api"}],`
	for name, next := range map[string]string{
		"elsewhere":    "https://evil.example/v1.0/next",
		"in the clear": "http://graph.microsoft.com/v1.0/next",
		"to itself":    "https://graph.microsoft.com/v1.0/servicePrincipals/own/oauth2PermissionGrants?again",
		"no URL":       "https://graph.microsoft.com:x/",
	} {
		pages := 0
		s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives(canary, 3600) }}
		e := s.exchanger(func(o *Options) {
			o.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				switch r.URL.Host {
				case "login.microsoftonline.com":
					if r.Header.Get("Authorization") != "" {
						t.Error("the authority was shown the token")
					}
					if r.Method == http.MethodGet {
						return reply(r, 200, strings.Replace(placeOf(tenant), "{", `{"msgraph_host":"graph.microsoft.com",`, 1)), nil
					}
					return s.RoundTrip(r)
				case "graph.microsoft.com":
					if pages++; r.URL.Scheme != "https" || r.Header.Get("Authorization") != "Bearer "+canary {
						t.Errorf("%s: %s was asked with %q", name, r.URL, r.Header)
					}
					return reply(r, 200, id+fmt.Sprintf(`"@odata.nextLink":%q}`, next)), nil
				}
				t.Errorf("%s: %s was asked", name, r.URL)
				return nil, io.EOF
			})}
		})
		_, err := e.CheckConsent(t.Context(), tenant)
		wantRefusal(t, Misconfigured, err)
		if pages > maxPages+2 {
			t.Errorf("%s: %d pages were read", name, pages)
		}
	}
}

func TestGraphIsWhereAPlainHostIs(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "graph.microsoft.com/x", "user@graph.microsoft.com", "graph.microsoft.com?x", "https://graph.microsoft.com", "a b", "graph.microsoft.com#",
		"10.0.0.7", "10.0.0.7:8443", "graph.microsoft.com:8443", "graph.microsoft.com.evil.example", "evil.example", "mygraph.microsoft.com"} {
		s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives(canary, 3600) }}
		s.place = func(tenant string) string {
			return strings.Replace(placeOf(tenant), "{", fmt.Sprintf(`{"msgraph_host":%q,`, host), 1)
		}
		_, err := s.exchanger().CheckConsent(t.Context(), tenant)
		if r := wantRefusal(t, Misconfigured, err); !strings.Contains(r.Detail, "where Microsoft Graph is") {
			t.Errorf("%q: %v", host, r)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	for _, code := range []int{50076, 53003, 65001, 7000215, 90033, 99999} {
		_, body := refuses(code, `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`)
		f.Add(400, []byte(body))
	}
	f.Add(503, []byte("<html>"))
	f.Add(400, []byte(`{"error":"interaction_required","claims":"{\"a\":{}}"}`))
	f.Add(401, []byte(`{"error_codes":[1e400,-5],"error":{},"claims":[]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := refused(status, nil, body)
		switch {
		case r.Reason == "" || r.Detail == "" || strings.ContainsAny(r.Detail, "\r\n") || len(r.Detail) > 200:
			t.Errorf("%d %q: %+v", status, body, r)
		case (r.Reason == Challenged) != (r.Claims != ""):
			t.Errorf("%d %q: %+v", status, body, r)
		case r.Claims != "" && !isClaims(r.Claims):
			t.Errorf("%d %q: claims %q", status, body, r.Claims)
		}
	})
}

func FuzzGranted(f *testing.F) {
	_, body := gives("good", 3600)
	f.Add([]byte(body))
	f.Add([]byte(`{"token_type":"bearer","expires_in":"3599","access_token":"a.b.c"}`))
	f.Add([]byte(`{"token_type":"Bearer","expires_in":1,"access_token":"a\r\nb"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		short, err := granted(body)
		if err != nil {
			if len(short) > 0 || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q: %q, %v", body, short, err)
			}
			return
		}
		if again, err := granted(short); err != nil || len(short) > maxToken+200 || bytes.ContainsAny(again, "\r\n") {
			t.Errorf("%q: %q, then %q, %v", body, short, again, err)
		}
	})
}
