package access

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestCheck(t *testing.T) {
	secret := Generate()
	v := secret.Reveal()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name   string
		header []string
		want   string // part of the error, "" for none
	}{
		{"any user", []string{basic("anyone", v)}, ""},
		{"no user", []string{basic("", v)}, ""},
		{"scheme in any case", []string{"bAsIc " + b64("u:"+v)}, ""},
		{"several spaces", []string{"Basic   " + b64("u:"+v)}, ""},

		{"absent", nil, "no credential"},
		{"empty", []string{""}, "Basic scheme"},
		{"twice", []string{basic("u", v), basic("u", v)}, "several"},
		{"right and wrong", []string{basic("u", v), basic("u", "x")}, "several"},
		{"two in one field", []string{basic("u", v) + ", " + basic("u", v)}, "Basic scheme"},
		{"another scheme", []string{"Bearer " + v}, "Basic scheme"},
		{"a scheme that folds to it", []string{"Ba\u017fic " + b64("u:"+v)}, "Basic scheme"},
		{"no space", []string{"Basic" + b64("u:"+v)}, "Basic scheme"},
		{"a tab", []string{"Basic\t" + b64("u:"+v)}, "Basic scheme"},
		{"not encoded", []string{"Basic u:" + v}, "Basic scheme"},
		{"base64url alphabet", []string{"Basic -_-_"}, "Basic scheme"},
		{"no padding", []string{"Basic " + strings.TrimRight(b64("us:"+v), "=")}, "Basic scheme"},
		{"line break inside", []string{"Basic " + b64("u:" + v)[:8] + "\r\n" + b64("u:" + v)[8:]}, "Basic scheme"},
		{"no colon", []string{"Basic " + b64(v)}, "Basic scheme"},
		{"as the user", []string{basic(v, "")}, "wrong"},
		{"no password", []string{basic("u", "")}, "wrong"},
		{"prefix", []string{basic("u", v[:len(v)-1])}, "wrong"},
		{"longer", []string{basic("u", v+"x")}, "wrong"},
		{"colon in the user", []string{basic("u:u", v)}, "wrong"},
		{"NUL behind", []string{basic("u", v+"\x00")}, "wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := secret.check(tt.header)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), v) {
				t.Errorf("the error shows the credential: %v", err)
			}
		})
	}
}

func TestNothingMatchesTheZeroCredential(t *testing.T) {
	for _, password := range []string{"", "[credential]", "\x00"} {
		if err := (Credential{}).check([]string{basic("u", password)}); err == nil {
			t.Errorf("%q was accepted", password)
		}
	}
}

// What we take for a credential, net/http reads the same way.
func FuzzBasicPassword(f *testing.F) {
	for _, s := range []string{"", "Basic", "Basic ", "basic OnB3", "Basic dTpw", "BASIC  dTpw", "Ba\u017fic dTpw", "Basic dTp\nw", "Basic dTpx=", "Basic Og==", "Basic dQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		password, ok := basicPassword(header)
		if !ok {
			if password != "" {
				t.Errorf("refused, but yields %q", password)
			}
			return
		}
		r := &http.Request{Header: http.Header{"Authorization": {"Basic " + strings.TrimLeft(header[6:], " ")}}}
		if _, want, wantOK := r.BasicAuth(); !wantOK || want != password {
			t.Errorf("%q: %q, net/http reads %q, %v", header, password, want, wantOK)
		}
	})
}

func TestCredentialIsNeverPrinted(t *testing.T) {
	secret := Generate()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, secret)
		fmt.Fprintf(&out, verb, &secret)
		fmt.Fprintf(&out, verb, struct{ C Credential }{secret})
		policy, _ := New("auto", secret)
		fmt.Fprintf(&out, verb, policy)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "c", secret, "p", &secret)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "c", secret, "p", &secret)
	json.NewEncoder(&out).Encode(map[string]any{"c": secret})
	for _, form := range []string{secret.Reveal(), fmt.Sprintf("%x", secret.Reveal()), fmt.Sprint([]byte(secret.Reveal()))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in %s", form, out.String())
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "home", "credential")
	first, err := LoadOrCreate(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Reveal()) != 43 {
		t.Errorf("%d characters", len(first.Reveal()))
	}
	second, err := LoadOrCreate(file)
	if err != nil || second.Reveal() != first.Reveal() {
		t.Errorf("read again: another credential, or %v", err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, %v", path, info.Mode().Perm(), err)
			}
		}
	}
	alone(t, file)
}

func TestCreatorsAgreeOnOneCredential(t *testing.T) {
	for range 20 {
		file := filepath.Join(t.TempDir(), "home", "credential")
		got := make([]Credential, 8)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				<-start
				var err error
				if got[i], err = LoadOrCreate(file); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		for _, c := range got {
			if c.Reveal() != got[0].Reveal() || c.Reveal() == "" {
				t.Fatal("two creators hold different credentials")
			}
		}
		alone(t, file)
	}
}

// alone fails the test if anything but file is left in its directory.
func alone(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestBadFilesAreRefusedAndKept(t *testing.T) {
	good := Generate().Reveal()
	tests := []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"good", good, 0o600, ""},
		{"read-only, newline", good + "\n", 0o400, ""},
		{"CRLF", good + "\r\n", 0o600, ""},
		{"readable by the group", good, 0o640, "mode 0640"},
		{"readable by others", good, 0o604, "mode 0604"},
		{"writable by others", good, 0o602, "mode 0602"},
		{"empty", "", 0o600, "not a credential"},
		{"cut short", good[:20], 0o600, "not a credential"},
		{"two lines", good + "\n" + good, 0o600, "not a credential"},
		{"NUL", good + "\x00", 0o600, "not a credential"},
		{"needs escaping", good + "@evil.test", 0o600, "not a credential"},
		{"huge", strings.Repeat("a", 8192), 0o600, "not a credential"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.mode&0o077 != 0 {
				t.Skip("this system has no mode bits")
			}
			file := filepath.Join(t.TempDir(), "credential")
			if err := os.WriteFile(file, []byte(tt.content), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil { // past the umask
				t.Fatal(err)
			}
			c, err := LoadOrCreate(file)
			if tt.want == "" {
				if err != nil || c.Reveal() != good {
					t.Errorf("not read: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "delete it") || c.Reveal() != "" {
				t.Errorf("got %v, want %q and the remedy", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), good[:20]) {
				t.Errorf("the error shows the content: %v", err)
			}
			if b, _ := os.ReadFile(file); string(b) != tt.content {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		if _, err := LoadOrCreate(t.TempDir()); err == nil {
			t.Error("accepted")
		}
	})
}
