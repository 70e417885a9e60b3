//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// readDeployed reads the manifests in a directory of deploy and the configuration
// that they mount.
func readDeployed(t testing.TB, dir string) (m *manifests, text string) {
	t.Helper()
	m, err := readManifests(os.DirFS(deploy), "kubernetes/"+dir)
	must(t, err)
	b, err := os.ReadFile(deploy + "kubernetes/" + dir + "/" + m.kust.ConfigMapGenerator[0].Files[0])
	must(t, err)
	return m, string(b)
}

// asMounted writes a configuration of the manifests, with the replacements, and
// what it names into home.
func asMounted(t testing.TB, home, name, text string, replaced ...string) {
	t.Helper()
	for i := 0; i < len(replaced); i += 2 {
		if !strings.Contains(text, replaced[i]) {
			t.Fatalf("%s has no %s", name, replaced[i])
		}
	}
	text = strings.NewReplacer(replaced...).Replace(text)
	writeTestFile(t, filepath.Join(home, name), "upstream_proxy = \"direct\"\n"+text)
	for _, file := range []string{"redis-password", "metrics-token", "build-farm"} {
		writeTestFile(t, filepath.Join(home, "run/injectproxy", file), strings.Repeat("s", 40))
	}
}

// A replica is ready although Redis cannot be reached. What the probe of that path
// hears once it is told to end, gate_drain_test.go holds.
func TestGateOfTheManifestsAnswersItsProbes(t *testing.T) {
	t.Parallel()
	m, text := readDeployed(t, "gate")
	home, entra, admin := t.TempDir(), startGateIdentity(t), "127.0.0.1:"+freePort(t)
	asMounted(t, home, "gate.toml", text,
		`":8080"`, `"127.0.0.1:0"`, `":8079"`, `"`+admin+`"`, `"/run/`, `"`+home+`/run/`, `"json"`, `"text"`,
		"16b3c013-d300-468d-8c1d-000000000000", testTenant, "58348f96-645d-4a2e-8c1d-000000000000", apiOne,
		"[entra]\n", "[entra]\nauthority_host = \""+entra.URL()+"\"\n", "redis.corp.example:6380", "127.0.0.1:"+freePort(t))
	writeTestFile(t, filepath.Join(home, "run/cluster-ca/ca.crt"), string(entra.CAPEM()))
	writeTestFile(t, filepath.Join(home, "identity"), "an.assertion.of-the-cluster")
	env := []string{"AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(home, "identity"), // as the webhook sets them
		"AZURE_CLIENT_ID=" + apiOne, "AZURE_TENANT_ID=" + testTenant, "AZURE_AUTHORITY_HOST=" + entra.URL()}
	c := m.deployment.Spec.Template.Spec.Containers[0]
	d := spawn(t, home, command(t, context.Background(), home, env, c.Args...))
	d.listening()
	alive, ready := "http://"+d.addr+c.LivenessProbe.HTTPGet.Path, "http://"+d.addr+c.ReadinessProbe.HTTPGet.Path
	answers := func(url string, status int) func() bool {
		return func() bool {
			r, err := trySend(http.DefaultClient, newGet(t, url))
			return err == nil && r.status == status
		}
	}
	soon(t, "it is not alive", answers(alive, http.StatusOK))
	soon(t, "it is not ready", answers(ready, http.StatusOK))
	soon(t, "the admin port is not that of the configuration", answers("http://"+admin+"/metrics", http.StatusOK))
}

// The replicas of serve have one CA, as the init container hands it out, by files
// that the program takes: and nothing else in common.
func TestReplicasOfServeShareTheCAAlone(t *testing.T) {
	t.Parallel()
	m, text := readDeployed(t, "serve")
	spec := m.deployment.Spec.Template.Spec
	var replicas []*daemon
	secret := caOfThePage(t) // what is mounted at /ca
	for range 2 {
		home, admin := t.TempDir(), "127.0.0.1:"+freePort(t)
		asMounted(t, home, "config.toml", text,
			`":8877"`, `"127.0.0.1:0"`, `":8878"`, `"`+admin+`"`, `"/run/`, `"`+home+`/run/`, `"json"`, `"text"`)
		handOut(t, spec.InitContainers[0], secret, home)
		d := spawn(t, home, command(t, context.Background(), home, nil, spec.Containers[0].Args...))
		d.listening()
		for _, p := range []probe{spec.Containers[0].LivenessProbe, spec.Containers[0].ReadinessProbe} {
			call(t, http.DefaultClient, "GET", "http://"+admin+p.HTTPGet.Path, nil).wantStatus(t, http.StatusOK)
		}
		replicas = append(replicas, d)
	}
	made, err := os.ReadFile(filepath.Join(secret, "ca.pem"))
	must(t, err)
	for _, d := range replicas {
		if shown, err := os.ReadFile(filepath.Join(d.home, "ca", "ca.pem")); !bytes.Equal(shown, made) {
			t.Error("clients would have to trust each replica", err)
		}
	}
	if own, another := ownCredential(t, replicas[0].home), ownCredential(t, replicas[1].home); bytes.Equal(own, another) {
		t.Error("the replicas share a credential")
	}
}

// caOfThePage returns a directory with the CA that the page has made, on a machine that
// others reach: it is by no address that they reach.
func caOfThePage(t testing.TB) (secret string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/deploy.md")
	must(t, err)
	line := regexp.MustCompile(`(?m)^(sed .*) >ca\.toml\n.*\binjectproxy (serve --config ca\.toml --listen (\S+))`).FindStringSubmatch(string(page))
	if line == nil {
		t.Fatal("the page does not say how the CA is made")
	}
	confined := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line[1], "overlays/our-serve", "serve"))
	confined.Dir = "../.."
	text, err := confined.Output()
	must(t, err)
	home := t.TempDir()
	writeTestFile(t, filepath.Join(home, "ca.toml"), string(text))
	cfg, problems := config.Load(filepath.Join(home, "ca.toml"))
	if cfg == nil || cfg.OverrideListen(line[3]) != nil || !onLoopback(cfg.Listen) || !onLoopback(cfg.Admin.Listen) {
		t.Fatalf("%+v, %v: others reach what makes the CA", cfg, problems)
	}
	writeTestFile(t, filepath.Join(home, "ca.toml"), string(text)+"[admin]\nlisten = \"\"\n") // the port may be taken
	makes := command(t, context.Background(), home, nil, strings.Fields(line[2])...)
	makes.Dir = home
	spawn(t, home, makes).listening()
	secret = t.TempDir()
	for _, name := range []string{"intermediate.pem", "ca.pem"} {
		b, err := os.ReadFile(filepath.Join(home, "ca", name))
		must(t, err)
		writeTestFile(t, filepath.Join(secret, name), string(b))
		must(t, os.Chmod(filepath.Join(secret, name), 0o440))
	}
	return secret
}

func onLoopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().IsLoopback()
}

// handOut does what an init container does, twice: it may be started again.
func handOut(t testing.TB, c container, secret, home string) {
	t.Helper()
	args := append([]string{}, c.Command...)
	args[len(args)-1] = strings.NewReplacer("/var/lib/injectproxy", home, " /ca/", " "+secret+"/").Replace(args[len(args)-1])
	for range 2 {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
}

func ownCredential(t testing.TB, home string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(home, "credential"))
	must(t, err)
	return b
}
