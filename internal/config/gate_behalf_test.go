package config

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// certifyRSA returns a PEM file of a certificate that is valid so long, and its key.
func certifyRSA(t *testing.T, to time.Duration) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certifyKey(t, private, "obo", min(-time.Hour, to-time.Hour), to)
	return cert + key
}

// behalf is trustworthy with [route.on_behalf_of] of these lines, the first of them
// on line 12, and files beside it.
func behalf(t *testing.T, lines string, files map[string]string) (*Gate, []Problem) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	file := filepath.Join(dir, "gate.toml")
	writeFile(t, file, trustworthy+"[route.on_behalf_of]\n"+lines+"\n")
	return LoadGate(file)
}

const (
	graphScope = `scope = "https://graph.microsoft.com/User.Read"` + "\n"
	federated  = `federated = "managed-identity"` + "\n"
)

func TestOnBehalfOfKeepsWhatIsWritten(t *testing.T) {
	t.Parallel()
	const id = "bb348f96-645d-4a2e-8c1d-000000000000"
	pair := certifyRSA(t, 60*24*time.Hour)
	for _, tt := range []struct{ lines, want string }{
		{graphScope + `certificate = "obo.pem"`, "{[https://graph.microsoft.com/User.Read] DIR/obo.pem    true}"},
		{graphScope + `secret_file = "secret"` + "\nwarn_consent = false", "{[https://graph.microsoft.com/User.Read]  DIR/secret   false}"},
		{"scope = \" https://a.example//x\thttps://a.example//y \"\nfederated = \"workload-identity\"", "{[https://a.example//x https://a.example//y]   workload-identity  true}"},
		{"scope = \"aa348f96-645d-4a2e-8c1d-000000000000/.default\"\nfederated = \"managed-identity\"\nidentity = \"" + strings.ToUpper(id) + "\"", "{[aa348f96-645d-4a2e-8c1d-000000000000/.default]   managed-identity " + id + " true}"},
	} {
		g, problems := behalf(t, tt.lines, map[string]string{"obo.pem": pair, "secret": canary + "\n"})
		wantProblems(t, problems)
		if g == nil {
			t.Errorf("%s: not usable", tt.lines)
			continue
		}
		o := *g.Routes[0].OnBehalfOf
		if left := time.Until(o.Ends); (o.Certificate != "") != (left > 59*24*time.Hour) || left > 61*24*time.Hour {
			t.Errorf("%s: it ends %s", tt.lines, o.Ends)
		}
		if o.Pos.Line != 11 {
			t.Errorf("it is at line 11, and %d is named", o.Pos.Line)
		}
		got := strings.ReplaceAll(fmt.Sprint(struct {
			s          []string
			c, f, w, i string
			b          bool
		}{o.Scopes, o.Certificate, o.SecretFile, o.Federated, o.Identity, o.WarnConsent}), filepath.Dir(g.File)+string(filepath.Separator), "DIR/")
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// Each mistake is named at its line, and nothing else is said.
func TestMistakesOfOnBehalfOfAreNamed(t *testing.T) {
	t.Parallel()
	scope := func(s string) string { return federated + `scope = "` + s + `"` }
	files := map[string]string{"secret": canary, "empty": " \n", "id": "cc348f96-645d-4a2e-8c1d-000000000000\n", "two": canary + "\n" + canary}
	for _, tt := range []struct {
		lines string
		line  int
		want  string
	}{
		{federated, 11, "[route.on_behalf_of] has no scope [what the servers"},
		{scope(""), 13, "scope is empty"},
		{scope("User.Read"), 13, `scope: number 1 does not say of which API it is [Microsoft Graph's is "https://graph.microsoft.com/User.Read"]`},
		{scope("access_as_user"), 13, "does not say of which API it is [in full, such as"},
		{scope("abc1.De"), 13, "does not say of which API it is [in full, such as"},
		{scope("https://graph.microsoft.com"), 13, `names no permission [its name behind a slash, such as /User.Read, or /.default for all`},
		{scope("https://graph.microsoft.com/"), 13, `names no permission [its name behind a slash, such as /User.Read, or /.default for all`},
		{scope("graph.microsoft.com/User.Read"), 13, "is of neither a URI nor a GUID"},
		{scope("https://graph.microsoft.com/User.Read offline_access"), 13, "number 2 says nothing of an API"},
		{scope("https://graph.microsoft.com/User.Read,Mail.Read"), 13, "has a character that no scope has [letters, digits and ./:_- only; blanks between several]"},
		{scope("https://graph.microsoft.com/User.Read https://a.example/x"), 13, `scope names two APIs, "https://graph.microsoft.com" and "https://a.example"`},
		{scope("https://a.example/x https://a.example/.default"), 13, "scope has .default, all that was consented to, and others"},
		{scope("https://a.example/x https://a.example/X"), 13, "stands there twice"},
		{scope("api://58348F96-645d-4a2e-8c1d-000000000000/x"), 13, "is of the gate's own application"},
		{scope("58348f96-645d-4a2e-8c1d-000000000000/.default"), 13, "is of the gate's own application"},

		{graphScope, 11, `has no "certificate", "secret_file" or "federated" [how the gate proves`},
		{graphScope + federated + `secret_file = "secret"`, 14, "[route.on_behalf_of] has both federated and secret_file: it wants one"},
		{graphScope + `secret = "` + canary + `"`, 13, "secret does not belong in this file: it is read by more than the gate [put it into a file of its own, which secret_file names]"},
		{graphScope + `client_secret = "` + canary + `"`, 13, "client_secret does not belong in this file"},
		{graphScope + `secret_file = ""`, 13, "secret_file is empty"},
		{graphScope + `secret_file = "absent"`, 13, "secret_file cannot be read: no such file"},
		{graphScope + `secret_file = "."`, 13, "secret_file is not a regular file"},
		{graphScope + `secret_file = "empty"`, 13, "secret_file: there is nothing in the file"},
		{graphScope + `secret_file = "two"`, 13, "secret_file: the file has more than one line"},
		{graphScope + `secret_file = "id"`, 13, "the file holds the secret's ID, which is a GUID"},
		{graphScope + `federated = "managed_identity"`, 13, `federated must be "managed-identity" or "workload-identity", not "managed_identity": did you mean "managed-identity"?`},
		{graphScope + `federated = ""`, 13, "federated must be"},
		{graphScope + federated + `identity = "` + canary + `"`, 14, "identity is not a GUID"},
		{graphScope + federated + `identity = "58348f96-645d-4a2e-8c1d-000000000000"`, 14, "identity is the gate's client_id"},
		{graphScope + federated + `identity = "16b3c013-d300-468d-8c1d-000000000000"`, 14, "identity is in tenants, too"},
		{graphScope + `federated = "workload-identity"` + "\n" + `identity = "bb348f96-645d-4a2e-8c1d-000000000000"`, 14, `identity goes with federated = "managed-identity" only`},
		{graphScope + `secret_file = "secret"` + "\n" + `identity = "bb348f96-645d-4a2e-8c1d-000000000000"`, 14, "identity goes with federated"},
		{graphScope + federated + `secret_fiel = "secret"`, 14, `unknown key "secret_fiel" in [route.on_behalf_of]: did you mean "secret_file"?`},
	} {
		g, problems := behalf(t, tt.lines, files)
		if want := fmt.Sprintf("gate.toml:%d: |%s", tt.line, tt.want); g != nil {
			t.Errorf("%s: it is used", tt.lines)
		} else {
			wantProblems(t, problems, want)
		}
		if text := fmt.Sprint(problems); shows(text) {
			t.Errorf("%s is shown by %s", tt.lines, text)
		}
	}
}

func TestCertificateOfOnBehalfOfIsRead(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	good, other := certifyRSA(t, 60*day), certifyRSA(t, 60*day)
	cut := func(pair string) (cert, key string) {
		cert, key, _ = strings.Cut(pair, "-----BEGIN PRIVATE KEY-----")
		return cert, "-----BEGIN PRIVATE KEY-----" + key
	}
	cert, key := cut(good)
	_, otherKey := cut(other)
	ecCert, ecKey := certify(t, "obo", -day, 60*day)
	block, _ := pem.Decode([]byte(key))
	block.Headers = map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}
	legacy := string(pem.EncodeToMemory(block))
	for _, tt := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"key first", key + cert, ""},
		{"byte order mark", "\ufeff" + good, ""},
		{"expired", certifyRSA(t, -day), "gate.toml:13: warning: |certificate expired on 20"},
		{"about to expire", certifyRSA(t, 13*day), "gate.toml:13: warning: |certificate expires on 20"},
		{"no key", cert, "gate.toml:13: |certificate holds no private key, only a certificate [one PEM file with both"},
		{"no certificate", key, "gate.toml:13: |certificate holds no certificate, only a key"},
		{"neither", canary, "gate.toml:13: |certificate holds no PEM certificate and no key"},
		{"key of another", cert + otherKey, "gate.toml:13: |certificate holds a private key that is not that of its first certificate"},
		{"encrypted", cert + strings.ReplaceAll(key, "PRIVATE", "ENCRYPTED PRIVATE"), "gate.toml:13: |certificate holds a private key that is encrypted"},
		{"encrypted as of old", cert + legacy, "gate.toml:13: |certificate holds a private key that is encrypted"},
		{"not RSA", ecCert + ecKey, "gate.toml:13: |certificate holds a key that is not RSA"},
		{"broken", strings.Replace(cert, "MII", "AAA", 1) + key, "gate.toml:13: |certificate holds a certificate or a private key that cannot be read"},
	} {
		g, problems := behalf(t, graphScope+`certificate = "obo.pem"`, map[string]string{"obo.pem": tt.text})
		var want []string
		if tt.want != "" {
			want = []string{tt.want}
		}
		wantProblems(t, problems, want...)
		if usable := tt.want == "" || strings.Contains(tt.want, "warning"); usable != (g != nil) {
			t.Errorf("%s: usable %v", tt.name, g != nil)
		}
	}
}

func TestSecretThatEverybodyCanReadIsWarnedOf(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": canary, "obo.pem": certifyRSA(t, 60*24*time.Hour), "password": canary} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	file := filepath.Join(dir, "gate.toml")
	for _, tt := range []struct {
		mode os.FileMode
		key  string
		want string
	}{
		{0o644, "secret_file = \"secret\"", "gate.toml:13: warning: |secret_file can be read by everybody on this machine (mode 0644) [chmod o-r"},
		{0o604, "certificate = \"obo.pem\"", "gate.toml:13: warning: |certificate can be read by everybody"},
		{0o640, "secret_file = \"secret\"", ""},
		{0o640, "certificate = \"obo.pem\"", ""},
		{0o604, "federated = \"managed-identity\"\n[redis]\nurl = \"rediss://a\"\npassword_file = \"password\"", "gate.toml:16: warning: |redis.password_file can be read by everybody"},
	} {
		writeFile(t, file, reachable+"[route.on_behalf_of]\n"+graphScope+tt.key+"\n")
		for _, name := range []string{"secret", "obo.pem", "password"} {
			if err := os.Chmod(filepath.Join(dir, name), tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		g, problems := LoadGate(file)
		var want []string
		if tt.want != "" {
			want = []string{tt.want}
		}
		wantProblems(t, problems, want...)
		if g == nil {
			t.Errorf("%s: not usable", tt.key)
		}
	}
}

// What a route with [route.on_behalf_of] does to callers who have no token, or none
// that can be exchanged, and to tokens on the way, is warned of.
func TestConsequencesOfOnBehalfOfAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, want string }{
		{`path = "/mcp"`, "path = \"/mcp\"\nmode = \"optional\"", `gate.toml:7: warning: |route /mcp: mode = "optional" lets anonymous callers in, and upstream gets no token for them`},
		{`path = "/mcp"`, "path = \"/mcp\"\nroles = [\"Job\"]", "gate.toml:7: warning: |route /mcp: roles lets applications in, and their tokens cannot be exchanged"},
		{`http://127.0.0.1:9000`, "http://server.example:9000", "gate.toml:7: warning: |upstream http://server.example:9000: the users' tokens of [route.on_behalf_of] travel in the clear to another machine"},
		{"[[route]]", "audiences = [\"api://BB348f96-645d-4a2e-8c1d-000000000000\"]\n[[route]]", "gate.toml:5: warning: |a token that is for it cannot be exchanged as [route.on_behalf_of] says"},
		{"[[route]]", "audiences = [\"https://old.corp.example/\"]\n[[route]]", ""},
		{"[[route]]", "audiences = [\"api://58348F96-645d-4a2e-8c1d-000000000000\"]\n[[route]]", ""},
	} {
		text := strings.Replace(trustworthy, tt.from, tt.to, 1)
		text = strings.Replace(text, "[route.tools]\n", "[route.tools]\nopen = {}\n", 1)
		var want []string
		if tt.want != "" {
			want = []string{tt.want}
		}
		_, problems := loadGate(t, text+"[route.on_behalf_of]\n"+graphScope+federated)
		wantProblems(t, problems, want...)
		_, problems = loadGate(t, text)
		if got := strings.Join(lines(problems), "\n"); strings.Contains(got, "on_behalf_of") || strings.Contains(got, "upstream gets no token") || strings.Contains(got, "exchanged") {
			t.Errorf("without [route.on_behalf_of]: %s", got)
		}
	}
}

func TestScopeOfTheGatesOwnNameIsRefused(t *testing.T) {
	t.Parallel()
	text := strings.Replace(trustworthy, "[entra]\n", "[entra]\napp_id_uri = \"https://mcp.corp.example/mcp\"\n", 1) + "[route.on_behalf_of]\n" + federated
	for _, own := range []string{"https://mcp.corp.example/mcp", "api://58348f96-645d-4a2e-8c1d-000000000000"} {
		_, problems := loadGate(t, text+"scope = \""+own+"/access_as_user\"\n")
		wantProblems(t, problems, "gate.toml:14: |is of the gate's own application")
	}
	_, problems := loadGate(t, text+"scope = \"https://mcp.corp.example/other/access_as_user\"\n")
	wantProblems(t, problems)
}
