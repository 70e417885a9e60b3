package gate

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestSignInOfTheServerBehindTheGateIsNotPassedOn holds on every route, and that
// the operator hears of it once.
func TestSignInOfTheServerBehindTheGateIsNotPassedOn(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://evil.example/"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(map[string]int{"GET": 401, "POST": 403}[r.Method])
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"own"}}`)
	}).URL
	for name, r := range map[string]Route{"plain": {Path: "/", Allow: true}, "deciding": {Path: "/", Tools: []Grant{grant("*", Needs{})}}} {
		var logged bytes.Buffer
		f := stand(t, Options{Routes: []Route{r}, Log: slog.New(slog.NewTextHandler(&logged, nil))}, upstream)
		for method, status := range map[string]int{"GET": 401, "POST": 403} {
			body := ""
			if method == "POST" {
				body = callEcho
			}
			res, said := f.do(t, f.request(t, method, "/", body))
			if res.StatusCode != status || len(res.Header["Www-Authenticate"]) > 0 || !strings.Contains(said, "own") {
				t.Errorf("%s: %s: %d %v %s", name, method, res.StatusCode, res.Header, said)
			}
			<-f.done
		}
		if n := strings.Count(logged.String(), "a sign-in of its own"); n != 1 || strings.Contains(logged.String(), "evil") {
			t.Errorf("%s: %s", name, logged.String())
		}
	}
}

// TestWhatACallerWasGivenIsKeptForNobodyElse holds for caches that many share.
func TestWhatACallerWasGivenIsKeptForNobodyElse(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"public, max-age=3600, s-maxage=60":          "private, max-age=3600",
		"S-MaxAge=60,Public ,must-revalidate":        "private",
		"no-store":                                   "private, no-store",
		`private="a, public", no-cache="b, c" , x=1`: `private, no-cache="b, c" , x=1`,
		"": "",
	} {
		upstream := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if said != "" {
				w.Header().Set("Cache-Control", said)
			}
			for _, name := range []string{"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control"} {
				w.Header().Set(name, "max-age=60")
			}
		}).URL
		f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Mode: Optional}}}, upstream)
		req := f.request(t, "GET", "/doc", "")
		if res, _ := f.do(t, req); strings.Join(res.Header["Cache-Control"], "|") != want || res.Header.Get("Surrogate-Control")+res.Header.Get("Cloudflare-CDN-Cache-Control")+res.Header.Get("CDN-Cache-Control") != "" {
			t.Errorf("%s: %v", said, res.Header)
		}
		req = f.request(t, "GET", "/doc", "")
		req.Header.Del("Authorization")
		if res, _ := f.do(t, req); res.Header.Get("Cache-Control") != said || res.Header.Get("Surrogate-Control") == "" {
			t.Errorf("to anybody: %v", res.Header)
		}
	}
}
