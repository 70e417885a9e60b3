//go:build unix

package source

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestRunsForOneTenantComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"az"})
	s.plays("account", part{Stdout: answer("tok"), Alone: true})
	tools := s.tools()
	const runs = 6
	done := make(chan error, runs)
	for i := range runs {
		e := Entra{ClientID: api, Tenant: tenant}
		if i%2 == 0 {
			e = Entra{Resource: "https://vault.azure.net", Tenant: tenant} // another audience of it
		}
		a, err := tools.Az(e)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := a.Token(t.Context(), token.Ask{})
			done <- err
		}()
	}
	for range runs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRunsForTwoTenantsOverlap(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	s := newStage(t, []string{"az"})
	s.plays("account", part{Stdout: answer("tok"), Hold: w.address()})
	tools := s.tools()
	run := func(tenant string) <-chan error {
		a, err := tools.Az(Entra{ClientID: api, Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		return later(func() error {
			_, err := a.Token(t.Context(), token.Ask{})
			return err
		})
	}
	first, second := run(tenant), run(tenant2)
	one, two := w.meet(), w.meet() // both run
	release(one)
	release(two)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
}

func TestWaitForAnotherRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	s := newStage(t, []string{"az"})
	s.plays("account", part{Stdout: answer("tok"), Hold: w.address()})
	a := s.az(Entra{ClientID: api})
	get := func(ctx context.Context) error {
		_, err := a.Token(ctx, token.Ask{})
		return err
	}
	first := later(func() error { return get(t.Context()) })
	holder := w.meet()
	ctx, cancel := context.WithCancel(t.Context())
	second := later(func() error { return get(ctx) })
	cancel()
	if e := wantError(t, <-second, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	if n := len(s.calls()); n != 1 {
		t.Errorf("%d runs", n)
	}
	release(holder)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// wrap puts a script in front of the az of s.
func wrap(t *testing.T, s *stage, script string) {
	t.Helper()
	if err := os.Rename(filepath.Join(s.dir, "az"), filepath.Join(s.dir, "real-az")); err != nil {
		t.Fatal(err)
	}
	body := "#!/bin/sh\n" + strings.ReplaceAll(script, "AZ", `"`+s.dir+`/real-az"`) + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, "az"), []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestAzThatHangsBehindAWrapperLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"in front":   `AZ "$@"; exit`,
		"background": `AZ "$@" & wait`,
		"left alone": `AZ "$@" & exit 0`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t)
			s := newStage(t, []string{"az"})
			wrap(t, s, script)
			s.plays("account", part{Leave: w.address(), Hold: w.address()})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := later(func() error {
				_, err := s.az(Entra{ClientID: api}).Token(ctx, token.Ask{})
				return err
			})
			one, two := w.meet(), w.meet()
			if name != "left alone" { // that one ends by itself
				cancel()
			}
			if err := <-done; err == nil {
				t.Error("yielded a token")
			}
			w.part(one)
			w.part(two)
		})
	}
}

func TestTokenRunLeavesNothingBehindWhenItSucceeds(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	s := newStage(t, []string{"az"})
	s.plays("account", part{Leave: w.address(), Stdout: answer("tok")})
	done := later(func() error {
		_, err := s.az(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
		return err
	})
	c := w.meet()
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.part(c)
}

func TestToolsSeeNoSecretOfTheirParent(t *testing.T) {
	secrets := []string{"MCP_TOKEN", "APIM_KEY", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD", "AZURE_TOKEN_CREDENTIALS",
		"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_DEVOPS_EXT_PAT", "AZURE_OPENAI_API_KEY", "AZURE_FEDERATED_TOKEN_FILE",
		"AZURE_CORE_SECRET", "IDENTITY_HEADER", "MSI_SECRET", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "azure_client_secret", "LESSOPEN"}
	for _, name := range secrets {
		t.Setenv(name, canary+name)
	}
	kept := map[string]string{"LANG": "de_CH.UTF-8", "XDG_RUNTIME_DIR": "/run/user/1", "https_proxy": "http://proxy.example:3128", "NO_PROXY": "a.example",
		"REQUESTS_CA_BUNDLE": "/etc/ca.pem", "AZURE_CORE_ENCRYPT_TOKEN_CACHE": "false", "AZURE_CLOUD_NAME": "AzureChinaCloud", "DISPLAY": ":0"}
	for k, v := range kept {
		t.Setenv(k, v)
	}
	s := newStage(t, []string{"az", "azd", "pwsh"}, os.Environ()...)
	s.env = append(s.env, "PATH="+s.dir)
	tools := s.tools()
	for _, cue := range []string{"account", "login", "version", "auth", "-NoLogo"} {
		s.plays(cue, part{Stdout: answer("tok")})
	}
	a := s.az(Entra{ClientID: api, Tenant: tenant})
	azd, errAzd := tools.Azd(Entra{ClientID: api, Tenant: tenant})
	ps, errPS := tools.PowerShell(Entra{ClientID: api, Tenant: tenant})
	if err := errors.Join(errAzd, errPS, a.SignIn(t.Context(), "{}", func(string) {})); err != nil {
		t.Fatal(err)
	}
	refused := tokenOf(t, canary)
	for _, src := range []token.Source{a, azd, ps} {
		wantToken(t, src, token.Ask{Rejected: refused, Claims: `{"a":1}`}, "tok")
	}
	calls := s.calls()
	if len(calls) != 5 {
		t.Fatalf("%d runs", len(calls))
	}
	for _, c := range calls {
		if all := strings.Join(c.Args, " ") + strings.Join(c.Env, " ") + c.Seen + c.Cmdline; strings.Contains(all, canary) {
			t.Errorf("%q was shown a secret: %s", c.Args, all)
		}
		for k, v := range kept {
			if !slices.Contains(c.Env, k+"="+v) {
				t.Errorf("%q lacks %s", c.Args, k)
			}
		}
	}
}

func TestToolsAreLookedUpWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := newStage(t, []string{"az"})
	s.plays("account", part{Stdout: answer("tok")})
	elsewhere := t.TempDir()
	bare := append(slices.Clone(s.env), "PATH="+elsewhere)
	plain := filepath.Join(elsewhere, "plain")
	write(t, plain, "")
	az := filepath.Join(s.dir, "az")
	at := func(o ToolOptions) token.Source {
		a, err := NewTools(o).Az(Entra{ClientID: api})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, o := range map[string]ToolOptions{
		"PATH of the environment": {Env: s.env, Dirs: []string{}},
		"outside PATH":            {Env: bare, Dirs: []string{elsewhere, s.dir}},
		"configured":              {Env: bare, Dirs: []string{}, AzPath: az},
	} {
		if _, err := at(o).Token(t.Context(), token.Ask{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		o     ToolOptions
		class token.Class
		says  string
	}{
		"nowhere":           {ToolOptions{Env: bare, Dirs: []string{}}, token.NotInstalled, "not installed"},
		"configured, gone":  {ToolOptions{Env: s.env, AzPath: az + "-not"}, token.Misconfigured, "entra.az_path"},
		"configured, plain": {ToolOptions{Env: s.env, AzPath: plain}, token.Misconfigured, "entra.az_path"},
	} {
		_, err := at(c.o).Token(t.Context(), token.Ask{})
		if e := wantError(t, err, c.class); !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestToolInTheCurrentDirectoryIsNotRun(t *testing.T) {
	s := newStage(t, []string{"az"})
	s.plays("account", part{Stdout: answer("tok")})
	t.Chdir(s.dir)
	for _, path := range []string{".", "", ":" + t.TempDir()} {
		tools := NewTools(ToolOptions{Env: append(slices.Clone(s.env), "PATH="+path), Dirs: []string{}})
		a, err := tools.Az(Entra{ClientID: api})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Token(t.Context(), token.Ask{})
		if path == "" {
			wantError(t, err, token.NotInstalled) // a PATH without any directory
			continue
		}
		if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Message, "current directory") {
			t.Errorf("PATH=%s: %v", path, e)
		}
	}
	if n := len(s.calls()); n != 0 {
		t.Errorf("%d runs", n)
	}

	// It is where the user says so.
	a, err := NewTools(ToolOptions{Env: s.env, AzPath: "./az"}).Az(Entra{ClientID: api})
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, a, token.Ask{}, "tok")
}

func TestToolThatWasInstalledMeanwhileIsFound(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	tools := s.tools()
	e := Entra{ClientID: api}
	a, _ := tools.Az(e)
	azd, _ := tools.Azd(e)
	ps, _ := tools.PowerShell(e)
	sources := map[string]token.Source{"az": a, "azd": azd, "pwsh": ps}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		_, err := sources[name].Token(t.Context(), token.Ask{})
		missing := wantError(t, err, token.NotInstalled)
		if missing.Stale() {
			t.Errorf("%s: found", name)
		}
		s.install(name)
		for _, cue := range []string{"account", "auth", "-NoLogo"} {
			s.plays(cue, part{Stdout: answer("tok")})
		}
		if !missing.Stale() {
			t.Errorf("%s: not found", name)
		}
		wantToken(t, sources[name], token.Ask{}, "tok")
	}
}
