package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/source"
)

// surroundingSecrets are variables as they stand in a user's shell or a
// service's unit.
func surroundingSecrets() map[string]string {
	return map[string]string{
		"AZURE_CLIENT_SECRET":               "cnry+secret/~a1b2c3d4",
		"AZURE_CLIENT_CERTIFICATE_PASSWORD": "cnry+certificate/~e5f6a7b8",
		"AZURE_PASSWORD":                    "cnry+password/~c9d0e1f2",
		"ARM_CLIENT_SECRET":                 "cnry+arm/~a3b4c5d6",
		"AZURE_CORE_SECRET_THING":           "cnry+core/~e7f8a9b0",
		"AZURE_DEVOPS_EXT_PAT":              "cnry+pat/~c1d2e3f4",
		"AWS_SECRET_ACCESS_KEY":             "cnry+aws/~a5b6c7d8",
		"XDG_API_TOKEN":                     "cnry+xdg/~e9f0a1b2",
		"INJECTPROXY_TEST_TOKEN":            "cnry+tokenenv/~c3d4e5f6",
		"INJECTPROXY_TEST_HEADER":           "cnry+headerenv/~a7b8c9d0",
		"HTTPS_PROXY":                       "http://user:cnry-environment-proxy-e1f2a3b4@127.0.0.1:1",
	}
}

// azSees is what az may be told besides the settings that keep it quiet.
func azSees() []string {
	names := []string{"PATH", "HOME", "AZURE_CONFIG_DIR", "AZURE_TENANT_ID", "TZ", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
	for _, kv := range source.ToolEnvironment(nil) {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	return names
}

// shownBy returns what everybody on the machine may see of a process.
func shownBy(t testing.TB, r *azRun) (cmdline, environ string) {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.Pid, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	return read("cmdline"), read("environ")
}

// A tool, a log and an answer get what they need. Everything that can go wrong
// does so with secrets about.
func TestSecretsReachNeitherAzNorItsCommandLineNorTheLog(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	const password = "cnry-configured-proxy-b5c6d7e8"
	secrets := map[string]string{"output of az": "cnry+stdout/~f9a0b1c2", "complaint of az": "cnry+stderr/~d3e4f5a6", "configured proxy": password}
	environ := surroundingSecrets()
	for name, value := range environ {
		secrets[name] = value
	}
	secrets["HTTPS_PROXY"] = "cnry-environment-proxy-e1f2a3b4"
	var mu sync.Mutex // guards secrets, which the upstream adds to
	check := protected(a, apiOne)
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		mu.Lock()
		defer mu.Unlock()
		if token := s.bearer(); strings.HasPrefix(token, "ey") {
			secrets[fmt.Sprintf("token %d", len(secrets))] = token
			check(w, s)
		}
		io.WriteString(w, "-")
	}, "api.example.test")
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority})
	home := t.TempDir()
	prefix := func(audience string) string {
		return strings.Replace(rule("https://api.example.test/"+audience+"/"), `"a"`, `"`+audience+`"`, 1)
	}
	settings{
		entra: a, top: fmt.Sprintf("upstream_proxy = %q", board.url(url.UserPassword("proxyuser", password))),
		tables: "[log]\nlevel = \"debug\"\n" + autoLogin + azAudience +
			"[audience.odd]\nclient_id = \"" + apiOne + "\"\ntenant = \"" + secondTenant + "\"\nsources = [\"az\"]\n" +
			"[audience.wrong]\nclient_id = \"" + apiOne + "\"\n[audience.static]\ntoken_env = \"INJECTPROXY_TEST_TOKEN\"\n" +
			rule("https://api.example.test/a/", `headers = { "X-Key" = { env = "INJECTPROXY_TEST_HEADER" } }`) +
			prefix("odd") + prefix("wrong") + prefix("static"),
	}.write(t, home)
	az := azAt(t, home, a)
	az.refuses(azSaid(t, "aadsts70043") + secrets["complaint of az"])
	type seen struct{ cmdline, environ string }
	var processes []seen
	az.plays(func(r *azRun) {
		cmdline, environ := shownBy(t, r) // it waits for its part
		mu.Lock()
		processes = append(processes, seen{cmdline, environ})
		mu.Unlock()
		switch {
		case r.value("--tenant") == secondTenant:
			r.ends(secrets["output of az"], "Traceback (most recent call last):\n"+secrets["complaint of az"], 1)
		case r.is("login"):
			r.says(secrets["complaint of az"] + "\n")
			fallthrough
		default:
			az.usual(r)
		}
	})
	env := toolEnv(home, "AZURE_TENANT_ID="+testTenant, "AZURE_CLIENT_ID="+testClient)
	for name, value := range environ {
		env = append(env, name+"="+value)
	}
	d := startDaemon(t, home, env)
	c := d.client("h2", nil)
	shown := ""
	for path, status := range map[string]int{"/odd/x": http.StatusBadGateway, "/wrong/x": http.StatusBadGateway, "/static/x": http.StatusOK} {
		r := call(t, c, "GET", "https://api.example.test"+path, nil)
		r.wantStatus(t, status)
		shown += fmt.Sprintf("%v %s\n", r.header, r.body)
	}
	call(t, c, "GET", "https://api.example.test/a/x", nil).wantStatus(t, http.StatusOK)
	a.RevokeAll()
	call(t, c, "GET", "https://api.example.test/a/x", nil).wantStatus(t, http.StatusUnauthorized) // az gives the same
	d.log.wait(t, "msg=request", "path=/a/x", "status=401")

	mu.Lock()
	defer mu.Unlock()
	if secrets["token 14"] == "" {
		t.Error("no token was seen, so nothing was tried")
	}
	if len(processes) != 5 {
		t.Errorf("az was run %d times, want 5", len(processes))
	}
	for _, where := range []struct{ name, text string }{{"the log", d.log.String()}, {"an answer", shown}} {
		if found := leaks(where.text, secrets); found != nil {
			t.Errorf("%s shows %q:\n%s", where.name, found, excerpt(where.text, secrets[found[0]]))
		}
	}
	needed := maps.Clone(secrets)
	delete(needed, "configured proxy") // az has to get through it
	for _, p := range processes {
		if found := leaks(p.cmdline, secrets); found != nil {
			t.Errorf("the command line of az shows %q: %q", found, p.cmdline)
		}
		if found := leaks(p.environ, needed); found != nil {
			t.Errorf("the environment of az shows %q", found)
		}
		if !strings.Contains(p.environ, "HTTPS_PROXY="+board.url(url.UserPassword("proxyuser", password))+"\x00") {
			t.Error("az does not know the proxy that it has to go through")
		}
		for kv := range strings.SplitSeq(strings.TrimSuffix(p.environ, "\x00"), "\x00") {
			if name, _, _ := strings.Cut(kv, "="); !slices.Contains(azSees(), name) {
				t.Errorf("az sees %s", name)
			}
		}
	}
}
