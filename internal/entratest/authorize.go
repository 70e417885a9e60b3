package entratest

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// codeLifetime is how long an authorization code may be redeemed.
const codeLifetime = 10 * time.Minute

// browsing is who sits at the browser, and the codes that came of it. The zero
// browsing is ready for use.
type browsing struct {
	mu       sync.Mutex
	user     *User // who signs in; nil while nobody does
	declined bool
	codes    map[string]authorizationCode
}

// authorizationCode is what a code stands for (RFC 6749 section 4.1).
type authorizationCode struct {
	session
	redirect  string
	challenge string // RFC 7636, S256
	lasting   bool   // a refresh token was asked for
	expiry    time.Time
}

// Browse has user sit at the browser from here on: whatever application sends
// the browser to the authorization endpoint, user signs in and consents. Before
// that nobody does, and the page waits.
func (a *Authority) Browse(user User) { a.browsing.decide(&user, false) }

// BrowseAndDecline is Browse for somebody who declines.
func (a *Authority) BrowseAndDecline() { a.browsing.decide(nil, true) }

func (b *browsing) decide(user *User, declined bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.user, b.declined = user, declined
}

// authorize is the page that the browser is sent to. What comes of it goes back
// to the application, by the browser; but to an application or an address
// that is not known nothing goes back.
func (a *Authority) authorize(w http.ResponseWriter, r *http.Request) {
	// A query that cannot be read leaves out parameters, which is answered below.
	_ = r.ParseForm()
	seen, open := a.requests.begin(a.describe(AuthorizeEndpoint, r))
	if !open {
		panic(http.ErrAbortHandler)
	}
	defer a.requests.end(seen)
	if failure := a.checkRedirect(r, *seen); failure != nil {
		a.writeFailure(w, r, seen, failure.withDefaults())
		return
	}
	body, failure := a.meet(r, *seen, a.inTenant(a.consent))
	values, _ := body.(url.Values)
	code := 0
	if failure != nil {
		f := failure.withDefaults()
		code, values = f.Code, a.redirectError(f, *seen)
	}
	a.requests.answer(seen, http.StatusOK, code)
	deliver(w, r, values)
}

// checkRedirect looks at what has to be right for anything to go back: the
// client, and a redirect to this machine (RFC 8252 section 7.3).
func (a *Authority) checkRedirect(r *http.Request, seen Request) *Failure {
	u, err := url.Parse(r.Form.Get("redirect_uri"))
	client := a.findClient(seen.Client)
	switch {
	case client == nil || !client.Public:
		return failWith(700016)
	case err != nil || u.Scheme != "http" || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return &Failure{Code: 50011, Error: "invalid_request", Description: "The redirect URI specified in the request does not match the redirect URIs configured for the application '{client}'."}
	case r.Form.Get("response_mode") != "form_post" && r.Form.Get("response_mode") != "":
		return &Failure{Code: 70007, Error: "unsupported_response_mode", Description: "The 'response_mode' is not supported by this simulation."}
	}
	return nil
}

// consent answers with a code, or with nothing while nobody is there.
func (a *Authority) consent(r *http.Request, seen Request) (any, *Failure) {
	form := r.Form
	switch {
	case form.Get("response_type") != "code":
		return nil, missing("response_type")
	case form.Get("code_challenge") == "" || form.Get("code_challenge_method") != "S256":
		return nil, missing("code_challenge")
	}
	_, resource, failure := a.delegatedScope(seen.Scope)
	if failure == nil {
		failure = a.checkResource(r, resource)
	}
	if failure != nil {
		return nil, failure
	}
	b := &a.browsing
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.declined:
		return nil, failWith(65004)
	case b.user == nil:
		return nil, nil
	}
	if b.codes == nil {
		b.codes = make(map[string]authorizationCode)
	}
	code, who := "1."+randomID(), a.newSession(seen.Tenant, a.findClient(seen.Client))
	who.user, who.scope = b.user, seen.Scope
	b.codes[code] = authorizationCode{
		session:   who,
		redirect:  form.Get("redirect_uri"),
		challenge: form.Get("code_challenge"),
		lasting:   lasting(form),
		expiry:    a.now().Add(codeLifetime),
	}
	return url.Values{"code": {code}}, nil
}

// redirectError is what goes back of a failure (RFC 6749 section 4.1.2.1).
func (a *Authority) redirectError(f Failure, seen Request) url.Values {
	body := a.errorBody(f, seen, randomID())
	values := make(url.Values)
	for _, name := range []string{"error", "error_description", "error_uri"} {
		if s, ok := body[name].(string); ok {
			values.Set(name, s)
		}
	}
	return values
}

// back is the page that posts the answer to the application without anybody's
// doing (OAuth 2.0 Form Post Response Mode).
var back = template.Must(template.New("back").Parse(`<html><head><title>Working...</title></head>
<body><form method="POST" name="hiddenform" action="{{.To}}">
{{- range $name, $values := .Values}}{{range $values}}
<input type="hidden" name="{{$name}}" value="{{.}}" />{{end}}{{end}}
<noscript><p>Script is disabled. Click Submit to continue.</p><input type="submit" value="Submit" /></noscript>
</form><script language="javascript">document.forms[0].submit();</script></body></html>
`))

// deliver sends values back the way that was asked for. With none it is the
// page on which somebody has yet to sign in.
func deliver(w http.ResponseWriter, r *http.Request, values url.Values) {
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if values == nil {
		_, _ = w.Write([]byte("<html><head><title>Sign in to your account</title></head><body>Nobody is there.</body></html>\n"))
		return
	}
	if state := r.Form.Get("state"); state != "" {
		values.Set("state", state)
	}
	to := r.Form.Get("redirect_uri")
	if r.Form.Get("response_mode") == "form_post" {
		_ = back.Execute(w, map[string]any{"To": to, "Values": values}) // the browser may have gone
		return
	}
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	http.Redirect(w, r, to+separator+values.Encode(), http.StatusFound)
}

// redeemCode is RFC 6749 section 4.1.3 with the proof of RFC 7636 section 4.5.
// A code is good for one attempt.
func (a *Authority) redeemCode(r *http.Request, seen Request, client *Client) (any, *Failure) {
	form, b := r.PostForm, &a.browsing
	b.mu.Lock()
	code, ok := b.codes[form.Get("code")]
	delete(b.codes, form.Get("code"))
	b.mu.Unlock()
	proof := sha256.Sum256([]byte(form.Get("code_verifier")))
	switch {
	case !ok, code.client != client.ID, code.tenant != a.newSession(seen.Tenant, client).tenant:
		return nil, failWith(70000)
	case a.now().After(code.expiry):
		return nil, failWith(70008)
	case form.Get("redirect_uri") != code.redirect:
		return nil, &Failure{Code: 500112, Error: "invalid_client", Description: "The reply address does not match the reply address provided when requesting the authorization code."}
	case base64.RawURLEncoding.EncodeToString(proof[:]) != code.challenge:
		return nil, &Failure{Code: 501481, Error: "invalid_grant", Description: "The Code_Verifier does not match the code_challenge supplied in the authorization request."}
	}
	granted, failure := a.respondUser(r, seen, client, code.session)
	if body, ok := granted.(map[string]any); ok && !code.lasting && !lasting(form) {
		delete(body, "refresh_token") // nobody has consented to that
	}
	return granted, failure
}

// lasting reports whether a refresh token is asked for.
func lasting(form url.Values) bool {
	return slices.Contains(strings.Fields(form.Get("scope")), "offline_access")
}
