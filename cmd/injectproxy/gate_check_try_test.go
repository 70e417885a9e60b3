//go:build unix

package main

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// What would stop calls on behalf of users is found before the first of them, and is
// told without the secret. Consent stops no gate, and is a warning.
func TestCheckTriesWhatTheGateWillAsk(t *testing.T) {
	t.Parallel()
	const secret = "Canary7f3a9c51~secret"
	mayLook := func(o *entratest.Options) { o.Resources[1].Roles = []string{"Directory.Read.All"} }
	for _, tt := range []struct {
		name, secret string
		change       func(o *entratest.Options)
		want         string // "": nothing
		status       int
	}{
		{"fine", secret, mayLook, "", 0},
		{"another secret", secret + "x", mayLook, "gate.toml:TABLE Entra refuses the gate in tenant " + testTenant + ": ", 2},
		{"no consent", secret, func(o *entratest.Options) {
			mayLook(o)
			o.Clients[0].Consents = []entratest.Consent{}
		}, "gate.toml:TABLE warning: nobody has consented to https://graph.microsoft.com/User.Read for all users in tenant " + testTenant, 0},
		{"not allowed to look", secret, func(*entratest.Options) {}, "gate.toml:TABLE warning: what was consented to in tenant " + testTenant + " cannot be seen: ", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newGateWorld(t, "", "scopes = [\"access_as_user\"]\n[route.on_behalf_of]\nscope = \"https://graph.microsoft.com/User.Read\"\nsecret_file = \"obo.secret\"",
				func(o *entratest.Options) {
					o.Clients = append(o.Clients, entratest.Client{ID: apiOne, Secrets: []string{secret}})
					o.Resources = append(o.Resources, entratest.Graph())
				}, tt.change)
			writeTestFile(t, filepath.Join(w.home, "obo.secret"), tt.secret)
			out, status := runToEnd(t, w.home, nil, "gate", "check", "--try")
			want := strings.ReplaceAll(tt.want, "gate.toml:TABLE", filepath.Join(w.home, "gate.toml")+":20:")
			problems := strings.Count(out, "gate.toml:20: ")
			if status != tt.status || !strings.Contains(out, want) || (problems == 1) != (want != "") {
				t.Errorf("%d, %s\nwant %s", status, out, want)
			}
			if strings.Contains(out, secret[:12]) {
				t.Errorf("it shows the secret: %s", out)
			}
		})
	}
}

// Who is not there is told of as that.
func TestCheckTellsWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close()) // nobody listens there
	w := newGateWorld(t, "[redis]\nurl = \"redis://"+l.Addr().String()+"\"\npassword_file = \"redis.password\"",
		"scopes = [\"access_as_user\"]\n[route.on_behalf_of]\nscope = \"https://graph.microsoft.com/User.Read\"\nsecret_file = \"redis.password\"")
	writeTestFile(t, filepath.Join(w.home, "redis.password"), "Canary7f3a9c51")
	w.entra.Close()
	out, status := runToEnd(t, w.home, nil, "gate", "check", "--try")
	if status != 2 || !strings.Contains(out, "the keys of tenant "+testTenant+" cannot be had") || !strings.Contains(out, "Entra cannot be asked in tenant "+testTenant) || !regexp.MustCompile(`gate\.toml:[0-9]+:[0-9]*:? ?\[redis\]: `).MatchString(out) || strings.Contains(out, "Canary") || strings.Contains(out, "pool.go") {
		t.Errorf("%d, %s", status, out)
	}
}

func TestNoteOfCheckSaysWhenTheCertificateEnds(t *testing.T) {
	t.Parallel()
	cfg := sampleGate()
	cfg.Routes[0].OnBehalfOf = &config.GateOnBehalfOf{
		Scopes: []string{"https://graph.microsoft.com/User.Read"}, Certificate: "/run/obo.pem", Ends: time.Date(2027, 1, 20, 12, 0, 0, 0, time.UTC),
	}
	var b strings.Builder
	noteOnBehalfOf(&b, cfg)
	const want = "note: route /mcp asks on behalf of users for https://graph.microsoft.com/User.Read, by certificate /run/obo.pem, which ends on 2027-01-20\n"
	if b.String() != want {
		t.Errorf("got %s\nwant %s", b.String(), want)
	}
}
