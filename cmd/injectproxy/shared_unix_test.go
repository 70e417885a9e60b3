//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var farmToken = strings.Repeat("farm", 10)

// startShared starts a serve on all addresses, with two clients.
func startShared(t *testing.T, o *origin, tables string) *daemon {
	t.Helper()
	home := t.TempDir()
	s := exchangeConfig(t, o, fmt.Sprintf("listen = \"0.0.0.0:%s\"", freePort(t)), tables+`
[access.client.farm]
token_file = "farm.token"
rules = ["api"]
[access.client.idle]
token_file = "idle.token"
rules = ["platform/sole"]
[team.platform]
prefixes = ["https://team.example.test/"]
audiences = ["a"]
`)
	s.tables += rule("https://api.example.test/private/", `name = "private"`) + rule("https://other.example.test/v1/", `name = "other"`)
	s.files = map[string]string{"a.token": tokenA, "b.token": tokenB, "farm.token": farmToken + "\n", "idle.token": strings.Repeat("idle", 10)}
	s.write(t, home)
	d := startDaemon(t, home, nil)
	d.addr = "127.0.0.1" + d.addr[strings.LastIndex(d.addr, ":"):]
	return d
}

func TestNamedClientIsConfinedToItsRules(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	d := startShared(t, o, "")
	farm := d.client("h2", url.UserPassword("farm", farmToken))

	call(t, farm, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	if got := o.taken(); len(got) != 1 || got[0].bearer() != tokenA {
		t.Errorf("its own rule: upstream saw %+v", got)
	}
	d.log.wait(t, "msg=request", "rule=api", "client=farm", "status=200")

	if p := call(t, farm, "GET", "https://api.example.test/private/x", nil).problem(t, 403); !strings.Contains(p.Detail, "farm") {
		t.Errorf("another's rule: %+v", p)
	}
	d.log.wait(t, "msg=request", "rule=private", "client=farm", "status=403")

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer plain.Close()
	for who, user := range map[string]*url.Userinfo{
		"farm": url.UserPassword("farm", farmToken), "idle": url.UserPassword("idle", strings.Repeat("idle", 10)),
	} {
		c := d.client("h1", user)
		for _, target := range []string{
			"https://other.example.test/v1/x", "https://unlisted.example.test/", "https://169.254.169.254/", "https://127.0.0.1:8878/", "https://team.example.test/x",
		} {
			if _, err := trySend(c, newGet(t, target)); err == nil || !strings.Contains(err.Error(), "Forbidden") {
				t.Errorf("%s, %s: %v", who, target, err)
			}
		}
		if p := call(t, c, "GET", plain.URL, nil).problem(t, 403); p.Title != "No rule names this destination" {
			t.Errorf("%s, plain http: %+v", who, p)
		}
	}
	if got := o.taken(); len(got) > 0 {
		t.Errorf("upstream saw %+v", got)
	}

	credential, err := os.ReadFile(filepath.Join(d.home, "credential"))
	must(t, err)
	all := d.client("h2", url.UserPassword("injectproxy", strings.TrimSpace(string(credential))))
	call(t, all, "GET", "https://api.example.test/private/x", nil).wantStatus(t, 200)
}

func TestSharedInstanceNeedsACredentialOfEverybody(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d := startShared(t, o, "")
	for who, user := range map[string]*url.Userinfo{
		"the same user on loopback": nil, "a client with another's name": url.UserPassword("idle", farmToken),
		"a client with no name": url.UserPassword("", farmToken),
	} {
		_, err := trySend(d.client("h1", user), newGet(t, "https://api.example.test/v1/x"))
		if err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
			t.Errorf("%s: %v", who, err)
		}
	}
	if got := o.taken(); len(got) > 0 {
		t.Errorf("upstream saw %+v", got)
	}
}

func TestSharedInstanceReachesNothingOfItsMachine(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d := startShared(t, o, "[tunnel]\nallow = \"all\"\n")
	c := d.client("h1", url.UserPassword("farm", farmToken))
	for _, host := range []string{
		"169.254.169.254", "169.254.1.1", "[fe80::1]", "168.63.129.16", "100.100.100.200", "[fd00:ec2::254]",
		"127.0.0.1:8878", "127.0.0.1", "[::1]:8878", "[::ffff:127.0.0.1]", "0.0.0.0:8878", d.addr,
	} {
		if _, err := trySend(c, newGet(t, "https://"+host+"/")); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("https://%s: %v", host, err)
		}
		call(t, c, "GET", "http://"+host+"/", nil).problem(t, 403)
	}
}

func TestClientsTokenAndRulesAreReadAgain(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d := startShared(t, o, "")
	renewed := strings.Repeat("new_", 10)
	writeTestFile(t, filepath.Join(d.home, "farm.token"), renewed)
	c := d.client("h2", url.UserPassword("farm", renewed))
	call(t, c, "GET", "https://api.example.test/private/x", nil).problem(t, 403)

	file := filepath.Join(d.home, "config.toml")
	text, err := os.ReadFile(file)
	must(t, err)
	writeTestFile(t, file, strings.Replace(string(text), `rules = ["api"]`, `rules = ["private"]`, 1))
	d.log.wait(t, "configuration reloaded", "change=1 ")
	call(t, c, "GET", "https://api.example.test/private/x", nil).wantStatus(t, 200)
	call(t, c, "GET", "https://api.example.test/v1/x", nil).problem(t, 403)
}
