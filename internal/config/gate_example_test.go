package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// gateExample returns the file that users copy.
func gateExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "gate.example.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Of what has a default the example shows that. The tools of its route are one.
func TestExampleOfAGateIsValidAndShowsTheDefaults(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, gateExample(t))
	wantProblems(t, problems)
	defaults, _ := loadGate(t, strings.Replace(trustworthy, "cost =", "cost_by_service =", 1))
	if g == nil || defaults == nil {
		t.Fatal("not usable")
	}
	if got, want := describeGate(g), describeGate(defaults); got != want {
		t.Errorf("the example sets\n%s\nthe defaults are\n%s", got, want)
	}
}

// Every line of the example that is commented out can be put into effect, the ways
// to say who the gate is one at a time.
func TestExampleOfAGateIsValidWithEveryLineInEffect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certify(t, "mcp.corp.example", -time.Hour, 60*24*time.Hour)
	writeFile(t, filepath.Join(dir, "tls.crt"), cert)
	writeFile(t, filepath.Join(dir, "tls.key"), key)
	text := regexp.MustCompile(`(?m)^# (\[|[a-z_]+ *= |"[^"]+" *= )`).ReplaceAllString(gateExample(t), "$1")
	text = strings.NewReplacer("/run/tls/", "", "/run/obo", "obo", "/run/redis", "redis").Replace(text)
	writeFile(t, filepath.Join(dir, "obo.pem"), certifyRSA(t, 60*24*time.Hour))
	writeFile(t, filepath.Join(dir, "obo.secret"), canary)
	writeFile(t, filepath.Join(dir, "redis.password"), canary)
	for _, without := range []string{"secret_file|federated|identity", "certificate|federated|identity", "certificate|secret_file"} {
		file := filepath.Join(dir, "gate.toml")
		writeFile(t, file, regexp.MustCompile(`(?m)^(`+without+`) *=.*\n`).ReplaceAllString(text, ""))
		g, problems := LoadGate(file)
		wantProblems(t, problems, "gate.toml:|entra.shim_client has no effect without shim = true", "gate.toml:|redis.url: gates elsewhere share these sessions, and route /mcp")
		if g == nil || len(g.Routes) != 1 || len(g.Routes[0].Tools) != 3 || len(g.Routes[0].Resources) != 1 || len(g.Routes[0].Prompts) != 1 ||
			g.TLS.Key == "" || g.Admin.TokenFile == "" || g.Entra.ShimClient[:2] != "aa" || g.Redis.PasswordFile == "" ||
			g.Routes[0].OnBehalfOf == nil || len(g.Routes[0].Identity) != 1 {
			t.Errorf("the example lost something: %+v", g)
		}
	}
}

// Work that adds a key adds it to the example: the accessors in this package's
// source say which keys there are.
func TestExampleOfAGateNamesEveryKey(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("gate*.go")
	if err != nil {
		t.Fatal(err)
	}
	shared := []string{"upstream_proxy", "no_proxy", "upstream_ca", "listen", "token_file", "level", "format", "audit"} // of network.go and settings.go
	accessor := regexp.MustCompile(`\b(?:t|top|section)\.[a-zA-Z]+\("([a-z_]+)"|(?:\.(?:scopes|grants|path|upstreams|delegated|managed)\(t|appIDURI\(), "([a-z_]+)"`)
	text, keys := gateExample(t), map[string]bool{}
	for _, key := range shared {
		keys[key] = true
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range accessor.FindAllStringSubmatch(string(source), -1) {
			keys[m[1]+m[2]] = true
		}
	}
	for key := range keys {
		if !regexp.MustCompile(`(?m)^(# )?(\[+(route\.)?` + key + `\]|` + key + ` *=)|[{,] ` + key + ` = `).MatchString(text) {
			t.Errorf("the example does not name %s", key)
		}
	}
	if len(keys) < 50 {
		t.Errorf("found only %d keys: the search is wrong: %v", len(keys), keys)
	}
}

// describeGate prints every setting, without places.
func describeGate(g *Gate) string {
	routes := ""
	for _, r := range g.Routes {
		r.Pos = Position{}
		for _, grants := range [][]GateGrant{r.Tools, r.Resources, r.Prompts} {
			for i := range grants {
				grants[i].Pos = Position{}
			}
		}
		routes += fmt.Sprintf("%+v", r)
	}
	return fmt.Sprintf("%s %s %v %s %d %+v %+v %+v %s %+v %+v %+v", g.Listen, g.PublicURL, g.Hosts, g.Drain, g.BodyLimit, g.Upstream, g.TLS, g.Entra, routes, g.Redis, g.Admin, g.Log)
}
