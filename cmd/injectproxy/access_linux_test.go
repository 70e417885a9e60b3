package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// runAs has the errands run by another user, or by ours if uid is ours.
func runAs(t *testing.T, uid int, addr string, errands []errand) (outcomes []outcome) {
	t.Helper()
	if os.Getuid() != 0 {
		absent(t, "running a client as another user needs root")
	}
	encoded, err := json.Marshal(errands)
	must(t, err)
	// By this name another user needs no way through the directories that
	// lead to the binary.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{strangerVar + "=" + addr, errandsVar + "=" + string(encoded), "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.CombinedOutput()
	if err := json.Unmarshal(out, &outcomes); err != nil {
		t.Fatalf("the client says %q: %v", out, err)
	}
	must(t, err)
	return outcomes
}

const anotherUser = 65534

func TestAnotherUserGetsNothingWithoutTheCredential(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h1", nil, "api.example.test", "unlisted.example.test")
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { o.note(r) }))
	defer plain.Close()
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority, "unlisted.example.test:443": o.authority})
	for _, mode := range []string{"auto", "credential"} {
		home := t.TempDir()
		settings{
			top:    fmt.Sprintf("upstream_proxy = %q\nno_proxy = [\"127.0.0.1\"]", board.url(nil)),
			tables: "[access]\nmode = \"" + mode + "\"\n" + fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles,
		}.write(t, home)
		d := startDaemon(t, home, nil)
		credential, err := os.ReadFile(filepath.Join(home, "credential"))
		must(t, err)
		right := basicProxyAuth("injectproxy", strings.TrimSpace(string(credential)))
		wrong := basicProxyAuth("injectproxy", strings.Repeat("x", 43))

		all := func(header string) []errand {
			return []errand{
				{"CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n" + header + "\r\n", "api.example.test"},
				{"CONNECT unlisted.example.test:443 HTTP/1.1\r\nHost: unlisted.example.test:443\r\n" + header + "\r\n", "unlisted.example.test"},
				{"GET " + plain.URL + "/plain HTTP/1.1\r\nHost: x\r\n" + header + "\r\n", ""},
			}
		}
		refused := []outcome{{Door: 407}, {Door: 407}, {Door: 407}}
		admitted := []outcome{{Door: 200, Inside: 200}, {Door: 200, Inside: 200}, {Door: 200}}
		ours := admitted
		if mode == "credential" {
			ours = refused
		}
		for _, tt := range []struct {
			who    string
			uid    int
			header string
			want   []outcome
		}{
			{"another user", anotherUser, "", refused},
			{"another user, wrong credential", anotherUser, wrong, refused},
			{"another user, twice the credential", anotherUser, right + right, refused},
			{"another user, credential", anotherUser, right, admitted},
			{"same user", os.Getuid(), "", ours},
			{"same user, credential", os.Getuid(), right, admitted},
		} {
			got := runAs(t, tt.uid, d.addr, all(tt.header))
			if !slices.Equal(got, tt.want) {
				t.Errorf("access.mode %s, %s: %+v, want %+v", mode, tt.who, got, tt.want)
			}
			var tokens []string
			for _, s := range o.taken() {
				tokens = append(tokens, s.target+" "+s.bearer())
				if s.header["Proxy-Authorization"] != nil {
					t.Errorf("%s: the credential went upstream", tt.who)
				}
			}
			want := []string{"/v1/x " + tokenA, "/v1/x ", "/plain "}
			if tt.want[0].Inside == 0 {
				want = nil
			}
			if !slices.Equal(tokens, want) {
				t.Errorf("access.mode %s, %s: upstream saw %q, want %q", mode, tt.who, tokens, want)
			}
		}
	}
}

func basicProxyAuth(user, password string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
}

// A client such as git shows its credential only once it has been asked.
func TestCredentialIsAskedForAndServesEveryProtocol(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "[access]\nmode = \"credential\"\n").write(t, home)
	d := startDaemon(t, home, nil)
	r := atDoor(t, d.addr, connectTo("api.example.test:443"))
	p := r.problem(t, http.StatusProxyAuthRequired)
	if !strings.HasPrefix(r.header.Get("Proxy-Authenticate"), "Basic realm=") || p.Hint == "" || p.Error != nil {
		t.Errorf("%q, %+v", r.header.Get("Proxy-Authenticate"), p)
	}
	credential, err := os.ReadFile(filepath.Join(home, "credential"))
	must(t, err)
	for _, proto := range []string{"h1", "h2"} {
		c := d.client(proto, url.UserPassword("anyone", strings.TrimSpace(string(credential))))
		call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
		if seen := o.one(t); seen.bearer() != tokenA {
			t.Errorf("%s: token %q arrived", proto, seen.bearer())
		}
	}
}
