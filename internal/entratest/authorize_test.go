package entratest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	callback = "http://localhost:1/"
)

// window is a browser: it shows where the authorization endpoint sends it.
func window(t *testing.T, a *entratest.Authority, query url.Values) *http.Response {
	t.Helper()
	client := *a.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(a.URL() + "/" + tenant + "/oauth2/v2.0/authorize?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func authorization(edit map[string]string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id": {app}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {`a "state"`},
		"scope":          {"api://" + apiV2 + "/.default openid offline_access profile"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for name, value := range edit {
		query.Set(name, value)
	}
	return query
}

// sentBack returns what the browser carries back in a query.
func sentBack(t *testing.T, resp *http.Response) url.Values {
	t.Helper()
	u, err := resp.Location()
	if err != nil || !strings.HasPrefix(u.String(), callback+"?") {
		t.Fatalf("sent to %v, %v (status %d)", u, err, resp.StatusCode)
	}
	return u.Query()
}

func redemption(code string, edit map[string]string) url.Values {
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {app}, "code": {code}, "redirect_uri": {callback},
		"code_verifier": {verifier}, "scope": {"api://" + apiV2 + "/.default openid offline_access profile"},
	}
	for name, value := range edit {
		form.Set(name, value)
	}
	return form
}

func TestBrowserCarriesACodeBackThatIsGoodForOneSession(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	back := sentBack(t, window(t, a, authorization(nil)))
	if back.Get("state") != `a "state"` || back.Get("error") != "" {
		t.Errorf("came back: %v", back)
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	postJSON(t, a, tenant+"/oauth2/v2.0/token", redemption(back.Get("code"), nil), &tokens)
	claims, err := a.Validate(tokens.Access, apiV2)
	if err != nil || claims["oid"] != ada.ObjectID || claims["scp"] != "read write" {
		t.Errorf("claims %v, %v", claims, err)
	}
	refresh := secretForm(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
	if code := post(t.Context(), t, a, tenant, refresh); code != 0 {
		t.Errorf("the refresh token: AADSTS%d", code)
	}
	if code := post(t.Context(), t, a, tenant, redemption(back.Get("code"), nil)); code != 70000 {
		t.Errorf("the code once more: AADSTS%d", code)
	}
	for _, r := range a.Requests() {
		if strings.Contains(r.Form.Encode(), back.Get("code")) || strings.Contains(r.Form.Encode(), verifier) {
			t.Errorf("the code or its proof is recorded: %v", r.Form)
		}
	}
}

func TestCodeIsRefusedToWhomItWasNotGivenTo(t *testing.T) {
	t.Parallel()
	const otherApp, otherTenant = apiV1, apiV2
	a := start(t, func(o *entratest.Options) {
		o.Tenants = append(o.Tenants, otherTenant)
		o.Clients = []entratest.Client{{ID: app, Public: true}, {ID: otherApp, Public: true}}
	})
	a.Browse(ada)
	for name, tt := range map[string]struct {
		tenant string
		edit   map[string]string
		want   int
	}{
		"without proof":      {tenant, map[string]string{"code_verifier": ""}, 501481},
		"with another proof": {tenant, map[string]string{"code_verifier": verifier + "x"}, 501481},
		"from another port":  {tenant, map[string]string{"redirect_uri": "http://localhost:2/"}, 500112},
		"another client":     {tenant, map[string]string{"client_id": otherApp}, 70000},
		"another tenant":     {otherTenant, nil, 70000},
		"another code":       {tenant, map[string]string{"code": "x"}, 70000},
		"the right one":      {tenant, nil, 0},
	} {
		code := sentBack(t, window(t, a, authorization(nil))).Get("code")
		if got := post(t.Context(), t, a, tt.tenant, redemption(code, tt.edit)); got != tt.want {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", name, got, tt.want)
		}
	}
}

func TestNothingIsSentToAnAddressThatIsNotThisMachine(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	for name, edit := range map[string]map[string]string{
		"another host":     {"redirect_uri": "http://evil.example/"},
		"userinfo":         {"redirect_uri": "http://localhost@evil.example/"},
		"another scheme":   {"redirect_uri": "https://localhost:1/"},
		"no address":       {"redirect_uri": ""},
		"unknown client":   {"client_id": apiV1},
		"unknown transfer": {"response_mode": "web_message"},
	} {
		if resp := window(t, a, authorization(edit)); resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
			t.Errorf("%s: status %d, sent to %q", name, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestBrowserCarriesFailuresBack(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	for want, edit := range map[string]map[string]string{
		"AADSTS900144": {"code_challenge": ""}, "AADSTS70011": {"scope": "x"}, "AADSTS500011": {"scope": "api://nonesuch/.default"},
	} {
		if back := sentBack(t, window(t, a, authorization(edit))); !strings.HasPrefix(back.Get("error_description"), want+": ") || back.Get("code") != "" {
			t.Errorf("want %s: %v", want, back)
		}
	}
	a.FailNext(1, entratest.Failure{Endpoint: entratest.AuthorizeEndpoint, Code: 53003})
	if back := sentBack(t, window(t, a, authorization(nil))); !strings.Contains(back.Get("error_description"), "AADSTS53003") {
		t.Errorf("a failure that was asked for: %v", back)
	}
	a.BrowseAndDecline()
	if back := sentBack(t, window(t, a, authorization(nil))); back.Get("error") != "access_denied" || back.Get("state") == "" {
		t.Errorf("declined: %v", back)
	}
	if n := a.Count(entratest.Request{Endpoint: entratest.AuthorizeEndpoint, Code: 65004}); n != 1 {
		t.Errorf("%d requests were declined", n)
	}
}

func TestResourceHasToBeThatOfTheScopes(t *testing.T) {
	t.Parallel()
	const own, other = "api://" + apiV2, "https://mcp.corp.example/mcp"
	a := start(t, public)
	a.Browse(ada)
	for resource, want := range map[string]int{own: 0, own + "/": 0, other: 9010010} {
		code := sentBack(t, window(t, a, authorization(nil))).Get("code")
		if got := post(t.Context(), t, a, tenant, redemption(code, map[string]string{"resource": resource})); got != want {
			t.Errorf("redeemed with %s: AADSTS%d, want AADSTS%d", resource, got, want)
		}
	}
	back := sentBack(t, window(t, a, authorization(map[string]string{"resource": other})))
	if back.Get("error") != "invalid_target" || !strings.HasPrefix(back.Get("error_description"), "AADSTS9010010: ") || back.Has("code") {
		t.Errorf("asked with %s: %v", other, back)
	}
}

func TestScopeOfTheSignInCountsWhereNoneIsNamed(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	var first, second struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	code := sentBack(t, window(t, a, authorization(map[string]string{"scope": "api://" + apiV2 + "/read offline_access"}))).Get("code")
	postJSON(t, a, tenant+"/oauth2/v2.0/token", redemption(code, map[string]string{"scope": ""}), &first)
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {app}, "refresh_token": {first.Refresh}}
	postJSON(t, a, tenant+"/oauth2/v2.0/token", refresh, &second)
	for _, token := range []string{first.Access, second.Access} {
		if claims, err := a.Validate(token, apiV2); err != nil || claims["scp"] != "read" {
			t.Errorf("claims %v, %v", claims, err)
		}
	}
}

func TestRefreshTokenTakesOfflineAccess(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	for scope, want := range map[string]bool{"/read": false, "/read offline_access": true} {
		var got struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		code := sentBack(t, window(t, a, authorization(map[string]string{"scope": "api://" + apiV2 + scope}))).Get("code")
		postJSON(t, a, tenant+"/oauth2/v2.0/token", redemption(code, map[string]string{"scope": ""}), &got)
		if got.Access == "" || (got.Refresh != "") != want {
			t.Errorf("%s: a refresh token: %v, want %v", scope, got.Refresh != "", want)
		}
	}
}

func TestPageWaitsUntilSomebodyIsThere(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	resp := window(t, a, authorization(nil))
	if page, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || strings.Contains(string(page), callback) {
		t.Errorf("status %d, %s, %v", resp.StatusCode, page, err)
	}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)" />`)

func TestFormIsPostedWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	a.Browse(ada)
	resp := window(t, a, authorization(map[string]string{"response_mode": "form_post"}))
	page, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(page), `action="`+callback+`"`) {
		t.Fatalf("%s, %v", page, err)
	}
	fields := make(map[string]string)
	for _, m := range hidden.FindAllStringSubmatch(string(page), -1) {
		fields[m[1]] = html.UnescapeString(m[2])
	}
	code := fields["code"]
	if delete(fields, "code"); !maps.Equal(fields, map[string]string{"state": `a "state"`}) {
		t.Errorf("fields besides the code: %v", fields)
	}
	if got := post(t.Context(), t, a, tenant, redemption(code, nil)); got != 0 {
		t.Errorf("AADSTS%d", got)
	}
}
