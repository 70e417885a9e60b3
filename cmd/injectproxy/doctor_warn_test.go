//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
)

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	p := newPatient(t, startTenants(t))
	p.serve()
	findings, status := p.examined("")
	if status != 0 || len(ofState(findings, stateOK)) != len(findings) {
		t.Errorf("exit status %d: %+v", status, findings)
	}
	var checks []string
	for _, f := range findings {
		checks = append(checks, f.Check)
	}
	if got, want := strings.Join(checks, " "), "config home ca serve client az token identity proxy upstream clock"; got != want {
		t.Errorf("checks %q, want %q", got, want)
	}
	out, status := p.shell("injectproxy doctor")
	if status != 0 || !strings.Contains(out, "\n11 checks: 0 failed, 0 to be looked at\n") || strings.Contains(out, "\x1b") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	p.az.wantRuns(t, 0, "login")
}

func TestDoctorWarnsOfWhatWillNotLast(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                  string
		wrong                 func(*patient)
		subject, says, remedy string
	}{
		{"CA that ends in 59 days", func(p *patient) { p.agedCA(59) }, "ca.pem", "ends on ", "injectproxy ca rotate"},
		{"rotation under way", func(p *patient) { p.shell("injectproxy ca rotate") }, "ca.pem", "clients have to trust it by then: SHA-256 ", "injectproxy ca install"},
		{"no CA", func(p *patient) { must(p.t, os.RemoveAll(caDir(p.home))) }, "ca", "there is none yet", "injectproxy serve"},
		{"no serve", func(p *patient) {}, p8877, "no serve answers", "injectproxy serve"},
		{"shell of its own", func(p *patient) {}, "HTTPS_PROXY", "do not use serve", setVariables},
		{"no rule", func(p *patient) { p.tables = fileAudiences; p.write() }, "config.toml", "there is no rule", "add a [[rule]]"},
		{"rule below another's", func(p *patient) {
			p.tables += strings.Replace(rule("https://api.example.test/v1/x/", `name = "inner"`), `"a"`, `"b"`, 1)
			p.write()
		}, "rule inner", "they get the token of audience b, not of a", "injectproxy explain https://api.example.test/v1/x/"},
		{"methods that hide", func(p *patient) {
			p.tables += rule("https://api.example.test/v1/x/", `name = "inner"`, `methods = ["GET"]`)
			p.write()
		}, "rule inner", "for GET alone: other methods get no token", "leave methods out at "},
		{"PAC file of the desktop", func(p *patient) {
			p.top = strings.Split(p.top, "\n")[0] + "\nupstream_proxy = \"env\""
			p.write()
			writeTestFile(p.t, filepath.Join(p.home, "bin", "gsettings"), "#!/bin/sh\n[ \"$*\" = 'get org.gnome.system.proxy mode' ] && echo \"'auto'\"\n")
			must(p.t, os.Chmod(filepath.Join(p.home, "bin", "gsettings"), 0o700))
		}, "system settings", "by a PAC file, which is not supported", "name the proxy that it chooses"},
	} {
		if tt.subject == "system settings" && runtime.GOOS == "darwin" {
			continue // a Mac has another program for that
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, nil)
			tt.wrong(p)
			findings, _ := p.examined("")
			for _, f := range ofState(findings, stateWarn) {
				if strings.Contains(f.Subject, strings.Replace(tt.subject, p8877, p.listen, 1)) && strings.Contains(f.Detail, tt.says) && strings.HasPrefix(f.Remedy, tt.remedy) {
					return
				}
			}
			t.Errorf("not found: %+v", findings)
		})
	}
}

// p8877 stands for where serve listens.
const p8877 = "127.0.0.1:8877"

// agedCA replaces the CA with one that ends in so many days.
func (p *patient) agedCA(days int) {
	p.t.Helper()
	must(p.t, os.RemoveAll(caDir(p.home)))
	permit, err := ca.ParsePermit([]string{"api.example.test"})
	must(p.t, err)
	made := time.Now().AddDate(-2, 0, days)
	_, err = ca.Ensure(caDir(p.home), permit, func() time.Time { return made })
	must(p.t, err)
}

func TestDoctorTellsWhichStoreHasToTrustAgainAfterARotation(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("certutil"); err != nil {
		absent(t, "certutil is not installed")
	}
	p := newPatient(t, nil)
	database := filepath.Join(p.env["HOME"], ".pki", "nssdb")
	must(t, os.MkdirAll(database, 0o700))
	for _, command := range []string{
		"certutil -N -d sql:" + database + " --empty-password", "injectproxy ca install --store nss",
		"injectproxy ca rotate", "injectproxy ca rotate --finish",
	} {
		if out, status := p.shell(command); status != 0 {
			t.Fatalf("%s: exit status %d: %s", command, status, out)
		}
	}
	f := p.only()
	if f.Check != "store" || !strings.Contains(f.Detail, "trusts the CA that was in use before") || f.Remedy != "injectproxy ca install --store nss" {
		t.Fatalf("found %+v", f)
	}
	if out, status := p.shell(f.Remedy); status != 0 {
		t.Fatalf("%s: exit status %d: %s", f.Remedy, status, out)
	}
	p.wantHealthy("")
}
