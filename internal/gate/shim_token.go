package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxForm   = 64 << 10         // bytes of a request to the shim
	maxTokens = 1 << 20          // bytes of Entra's answer
	relayTime = 30 * time.Second // that Entra may take
	maxRelays = 64               // requests that may wait for it at once
)

// tokenParameters are what Entra is sent of a request for tokens.
var tokenParameters = []string{"client_id", "grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"}

// token passes tokenParameters of a request for tokens to Entra, and its answer
// back. That is what a public client with PKCE sends, and no more: nobody is to try passwords, or secrets, behind the gate's address. Codes and
// tokens pass, and are neither kept nor logged.
func (g *Gate) token(x *exchange) {
	if !x.open(http.MethodPost) {
		return
	}
	form, e := g.tokenForm(x)
	if e != nil {
		x.refuseOAuth(e)
		return
	}
	select {
	case g.relays <- struct{}{}:
		defer func() { <-g.relays }()
	default:
		x.refuseOAuth(unavailable(x, "too many clients are asking for tokens at once"))
		return
	}
	status, body, after, err := g.relay(x.r.Context(), form)
	if err != nil {
		g.o.Log.Warn("the authorization server could not be asked", "err", plain(err))
		x.refuseOAuth(unavailable(x, "Microsoft Entra ID could not be asked"))
		return
	}
	if after != "" {
		x.w.Header().Set("Retry-After", after)
	}
	x.answerJSON(status, body)
}

func unavailable(x *exchange, why string) *oauthError {
	x.w.Header().Set("Retry-After", "5")
	return &oauthError{status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: why}
}

// tokenForm reads and judges the request.
func (g *Gate) tokenForm(x *exchange) (url.Values, *oauthError) {
	if len(x.r.Header["Authorization"]) > 0 { // who tries that may have another way yet (RFC 6749, section 5.2)
		x.w.Header().Set("WWW-Authenticate", `Basic realm="there are no client secrets here"`)
		return nil, &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "the client authenticates by nothing but client_id in the form"}
	}
	b, e := x.posted("application/x-www-form-urlencoded")
	if e != nil {
		return nil, e
	}
	form, e := parameters(string(b))
	if e == nil {
		e = g.checkToken(form)
	}
	if e != nil {
		return nil, e
	}
	return only(form, tokenParameters)
}

func (g *Gate) checkToken(form url.Values) *oauthError {
	switch {
	case !strings.EqualFold(form.Get("client_id"), g.o.Shim.Client):
		return badRequest("invalid_client", "client_id is not the one that registration gives")
	case form.Has("client_secret") || form.Has("client_assertion"):
		return badRequest("invalid_client", "the client has no secret")
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		if form.Get("code_verifier") == "" {
			return badRequest(invalidRequest, "code_verifier is missing")
		}
	case "refresh_token":
	default:
		return badRequest("unsupported_grant_type", "grant_type has to be authorization_code or refresh_token")
	}
	return nil
}

// relay asks Entra. Its answer has to be JSON: nothing else reaches a client.
func (g *Gate) relay(ctx context.Context, form url.Values) (status int, body []byte, after string, err error) {
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.entra("/oauth2/v2.0/token"), strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	client := *g.o.Shim.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxTokens+1))
	switch {
	case err != nil:
		return 0, nil, "", err
	case len(body) > maxTokens || !json.Valid(body) || 300 <= res.StatusCode && res.StatusCode < 400:
		return 0, nil, "", errors.New("its answer, of status " + strconv.Itoa(res.StatusCode) + ", is not that of a token endpoint")
	}
	return res.StatusCode, body, res.Header.Get("Retry-After"), nil
}

// plain is err without the URL of the request.
func plain(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// posted reads the body of a request to the shim.
func (x *exchange) posted(mediaType string) ([]byte, *oauthError) {
	got, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || got != mediaType || x.r.Header.Get("Content-Encoding") != "" {
		return nil, badRequest(invalidRequest, "the body has to be "+mediaType)
	}
	b, err := io.ReadAll(io.LimitReader(x.r.Body, maxForm+1))
	switch {
	case err != nil:
		return nil, badRequest(invalidRequest, "the body ended early")
	case len(b) > maxForm:
		return nil, &oauthError{status: http.StatusRequestEntityTooLarge, Code: invalidRequest, Description: "the body is too long"}
	}
	return b, nil
}

// refuseOAuth answers as an authorization server does.
func (x *exchange) refuseOAuth(e *oauthError) {
	body, err := json.Marshal(e)
	if err != nil { // strings always marshal
		panic(err)
	}
	x.answerJSON(e.status, body)
}

func (x *exchange) answerJSON(status int, body []byte) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749, section 5.1
	x.w.WriteHeader(status)
	_, _ = io.Copy(x.w, bytes.NewReader(body)) // the client may have gone
}
