//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// consequence is what follows from a code of the identity service.
type consequence struct {
	status int
	kind   string // of the problem
	hint   string // that the hint has in it
	signIn bool   // whether a person may be asked to sign in
}

// consequences are those of the codes that mean something; what any other means
// nobody knows.
func consequences() map[int]consequence {
	all := map[int]consequence{}
	put := func(o consequence, codes ...int) {
		for _, c := range codes {
			all[c] = o
		}
	}
	put(consequence{511, "sign-in-needed", "az login", true},
		16000, 50058, 50072, 50074, 50076, 50078, 50079, 50132, 50133, 50158, 50173, 70008, 70043, 700082, 700084)
	put(consequence{502, "token-refused", "04b07795-8ddb-461a-bbee-02f9e1bf7b46", false}, 65001, 90094)
	put(consequence{502, "token-refused", "administrator", false}, 53000, 53001, 53002, 53003, 53004)
	put(consequence{502, "token-misconfigured", "", false}, 500014, 50105, 50020, 50034, 65002, 70011, 700016, 7000222, 90002, 900023)
	put(consequence{502, "token-misconfigured", "resource = ", false}, 500011)
	put(consequence{502, "token-misconfigured", "AZURE_CLIENT_SECRET", false}, 7000215)
	put(consequence{503, "identity-unavailable", "", false}, 90033, 90055, 50196)
	put(consequence{511, "sign-in-needed", "", false}, 65004)
	unknown := slices.DeleteFunc(entratest.Codes(), func(code int) bool {
		_, known := all[code]
		return known || code == 70020 // of a sign-in by device code alone
	})
	put(consequence{502, "token-misconfigured", "", false}, append(unknown, 99999, 1000099, 12345678)...)
	return all
}

// withoutSession puts an az into the directory of the test in which nobody is
// signed in or manages to. It returns what az was run for since the last call.
func (b *testbed) withoutSession(t *testing.T) (runs func() []string) {
	const script = "#!/bin/sh\necho \"$1 $2\" >>\"$HOME/az.log\"\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n"
	az, log := filepath.Join(b.dir, "bin", "az"), filepath.Join(b.dir, "az.log")
	writeTestFile(t, az, script)
	must(t, os.Chmod(az, 0o700))
	return func() []string {
		data, err := os.ReadFile(log)
		if os.IsNotExist(err) {
			return nil
		}
		must(t, err)
		must(t, os.Remove(log))
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// An az without a session is what a sign-in would be made with. It is not even
// run unless the code says that a person could help.
func TestEveryCodeHasItsStatusAndFewOpenASignIn(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	a, clock := c.fresh(), new(advanced)
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := c.bed(t, settings{entra: c.Authority, tables: "[token]\nlogin = \"auto\"\n" + audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))},
		func(_ *config.Config, s *surroundings) { s.now = clock.now })
	runs := b.withoutSession(t)
	client := b.client("h2")
	for code, want := range consequences() {
		clear := c.Fail(failing(a.id, entratest.AADSTS(code)))
		p := call(t, client, "POST", o.url("/x"), strings.NewReader("body")).problem(t, want.status)
		clear()
		if p.Type != "urn:injectproxy:problem:"+want.kind || !strings.Contains(p.Detail, fmt.Sprint("AADSTS", code)) ||
			p.Hint == "" || !strings.Contains(p.Hint, want.hint) {
			t.Errorf("%d: %+v", code, p)
		}
		if final := p.Error != nil; final != (want.status != http.StatusServiceUnavailable) {
			t.Errorf("%d: final: %v", code, final)
		}
		if ran := runs(); (ran != nil) != want.signIn {
			t.Errorf("%d: az was run for %q", code, ran)
		} else if want.signIn && !slices.ContainsFunc(ran, func(s string) bool { return strings.HasPrefix(s, "login ") }) {
			t.Errorf("%d: nobody was asked to sign in: az was run for %q", code, ran)
		}
		clock.by.Add(int64(2 * time.Hour)) // by then all of it is forgotten
	}
	o.nothing(t)
}
