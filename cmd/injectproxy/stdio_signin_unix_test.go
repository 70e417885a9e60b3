//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// A sign-in that is needed is told to the client's user: as the error of the
// request that waits for it, with the command, and as a message.
func TestStdioTellsTheClientOfASignIn(t *testing.T) {
	t.Parallel()
	a := startIdentity(t)
	m := newRemote(t)
	m.claims = `{"access_token":{"nbf":{"essential":true}}}`
	m.check = func(token string) bool {
		_, err := a.Validate(token, apiOne)
		return err == nil
	}
	home := t.TempDir()
	az := filepath.Join(home, "az")
	must(t, os.WriteFile(az, []byte("#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n"), 0o700))
	entra := fmt.Sprintf("az_path = %q\n", az) // its table stands open
	settings{entra: a, top: m.way() + `no_proxy = ["127.0.0.1"]`, tables: entra + entraAudiences + mcpRule(m.url)}.write(t, home)
	p := startStdio(t, home, append(noTools(home), "AZURE_TENANT_ID="+testTenant, "AZURE_CLIENT_ID="+testClient, "AZURE_CLIENT_SECRET="+testSecret), m.url)
	p.begin()
	p.call("1", "x")
	a.Fail(failing(apiOne, entratest.AADSTS(50076)))
	a.Revoke(m.sightings()[0].bearer())
	got := p.call("2", "x")
	for _, want := range []string{`"code":-32016`, "AADSTS50076", "Hint: ", "az login", "api://" + apiOne} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	told := p.stdout.wait(t, `"notifications/message"`)
	for _, want := range []string{`"level":"warning"`, `"logger":"injectproxy"`, "az login"} {
		if !strings.Contains(told, want) {
			t.Errorf("%s\nlacks %s", told, want)
		}
	}
	p.finish()
}
