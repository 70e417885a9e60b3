package source

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// refreshToken is what a refresh token of the simulated authority looks like.
var refreshToken = regexp.MustCompile(`1\.[0-9a-f]{64}`)

func TestNothingSecretIsWritten(t *testing.T) {
	k := newKeeper(t)
	var all bytes.Buffer
	p := k.signedIn(Entra{ClientID: api, Tenant: tenant})
	tok := k.wantToken(p, token.Ask{Rejected: other(t)}, api)
	files := 0
	err := filepath.WalkDir(k.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if path != k.home && strings.HasPrefix(path, k.dir) && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		if e.IsDir() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil || files < 2 {
		t.Fatalf("%d files, %v", files, err)
	}
	if refreshToken.Match(all.Bytes()) || bytes.Contains(all.Bytes(), []byte(tok.Reveal())) || bytes.Contains(all.Bytes(), []byte("eyJhbGciOiJSUzI1NiI")) {
		t.Errorf("a token lies in a file below %s", k.home)
	}
	if !refreshToken.MatchString(k.realRefreshToken()) {
		t.Error("no refresh token would have been found")
	}
	if !strings.HasPrefix(tok.Reveal(), "eyJhbGciOiJSUzI1NiI") {
		t.Error("no token would have been found")
	}
}

// realRefreshToken returns one.
func (k *keeper) realRefreshToken() string {
	k.t.Helper()
	var begun struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}
	k.post("devicecode", map[string][]string{"client_id": {azureCLI}, "scope": {"api://" + api + "/.default"}}, &begun)
	if err := k.SignIn(begun.User, grace); err != nil {
		k.t.Fatal(err)
	}
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	k.post("token", map[string][]string{"client_id": {azureCLI}, "scope": {"api://" + api + "/.default"},
		"grant_type": {"device_code"}, "device_code": {begun.Device}}, &answer)
	return answer.Refresh
}

func (k *keeper) post(endpoint string, form map[string][]string, into any) {
	k.t.Helper()
	resp, err := k.HTTPClient().PostForm(k.URL()+"/"+tenant+"/oauth2/v2.0/"+endpoint, form)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		k.t.Fatal(err)
	}
}

func TestRecordSaysWhoAndNothingElse(t *testing.T) {
	k := newKeeper(t)
	k.signedIn(Entra{ClientID: api, Tenant: tenant})
	files := k.records()
	if len(files) != 1 || !strings.Contains(filepath.Base(files[0]), tenant) {
		t.Fatalf("records %v", files)
	}
	text, err := os.ReadFile(files[0])
	var fields map[string]string
	if err != nil || json.Unmarshal(text, &fields) != nil {
		t.Fatalf("%s, %v", text, err)
	}
	want := map[string]string{
		"authority": k.URL(), "clientId": azureCLI, "homeAccountId": grace.ObjectID + "." + tenant,
		"tenantId": tenant, "username": grace.Username, "version": "1.0",
	}
	if !maps.Equal(fields, want) {
		t.Errorf("the record is %v, want %v", fields, want)
	}
}

func TestBrokenRecordIsMendedByASignIn(t *testing.T) {
	k := newKeeper(t)
	k.signedIn(Entra{ClientID: api, Tenant: tenant})
	path := k.records()[0]
	for name, content := range map[string]string{
		"empty": "", "garbage": canary, "no record": "{}", "nobody": `{"version":"1.0"}`, "of the future": `{"version":"9","homeAccountId":"` + canary + `"}`,
		"endless": strings.Repeat(" ", maxRecord) + `{"version":"1.0","homeAccountId":"x"}`,
	} {
		write(t, path, content)
		k.log.Reset()
		k.restart()
		p := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
		for range 2 {
			_, err := p.Token(guarded(t), token.Ask{})
			wantError(t, err, token.SignIn)
		}
		if log := k.log.String(); strings.Count(log, "cannot be read") != 1 || strings.Contains(log, canary) {
			t.Errorf("%s: logged %s", name, log)
		}
		if err := p.SignIn(guarded(t), "", k.attend(grace)); err != nil {
			t.Fatal(err)
		}
		k.restart()
		k.wantToken(k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}), token.Ask{}, api)
	}
}

func TestSignInServesThoughItCannotBeRecorded(t *testing.T) {
	k := newKeeper(t)
	write(t, filepath.Dir(k.dir), "in the way")
	p := k.signedIn(Entra{ClientID: api, Tenant: tenant})
	k.wantToken(p, token.Ask{Rejected: other(t)}, api)
	if !strings.Contains(k.log.String(), "ends with this process") {
		t.Errorf("logged %s", k.log.String())
	}
}
