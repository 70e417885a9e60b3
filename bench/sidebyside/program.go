package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// module is where this program is from.
const module = "github.com/injectproxy/injectproxy"

// buildProgram builds the program under test as it is shipped, or, for a
// profile, with the one thing more that writes it.
func buildProgram(ctx context.Context, dir string, profile bool) (string, error) {
	name := filepath.Join(dir, injectproxy)
	args := []string{"build", "-trimpath", "-pgo", guide(ctx), "-o", name}
	if profile {
		args = append(args, "-tags", "profile")
	}
	build := exec.CommandContext(ctx, "go", append(args, module+"/cmd/injectproxy")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as .ci/release has it
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building %s (or say -bin): %w\n%s", injectproxy, err, out)
	}
	return name, nil
}

// guide returns the profile that releases are optimised by (see .ci/release), or
// what go build does without one.
func guide(ctx context.Context) string {
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", module+"/cmd/injectproxy").Output()
	if err != nil {
		return "off" // building fails as well, and says why
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "serve.pgo")
	if _, err := os.Stat(name); err != nil {
		return "off"
	}
	return name
}

func injectproxyInstalled(r *rig) (string, bool) {
	if r.bin == "" {
		return "not built", false
	}
	return version(r.bin, "version"), true
}

// moduleVersion returns the version of a module that is part of this program.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}

// programConf has one rule over the upstream, and a token that is in a file.
const programConf = `listen = %q
upstream_proxy = "direct"
upstream_ca = [%q]
[admin]
listen = ""
[ca]
permit = ["localhost", "127.0.0.0/8"]
[audience.bench]
token_file = %q
[[rule]]
prefixes = [%s]
audience = "bench"
kind = "llm"
`

// startInjectproxy starts serve in a home of its own. It logs warnings alone, as
// the others log no requests.
func startInjectproxy(ctx context.Context, r *rig, w work) (route, error) {
	home, err := os.MkdirTemp(r.dir, "home-")
	if err != nil {
		return route{}, err
	}
	environ := append(r.environ[:len(r.environ):len(r.environ)], "INJECTPROXY_HOME="+home)
	environ = append(environ, r.profiles(w)...)
	return r.begin(ctx, filepath.Join(home, "ca", "ca.pem"), func(addr string) (*process, error) {
		if err := r.configure(home, addr, w); err != nil {
			return nil, err
		}
		return launch(r.dir, environ, r.bin, "serve", "--log-level", "warn")
	})
}

// configure writes the configuration of a work into home.
func (r *rig) configure(home, addr string, w work) error {
	tok := filepath.Join(home, "token")
	if err := os.WriteFile(tok, []byte("a-token-of-a-measurement"), 0o600); err != nil {
		return err
	}
	prefixes := []string{fmt.Sprintf("%q", "https://"+r.upstream+"/")}
	for i := range w.hosts * r.rounds {
		prefixes = append(prefixes, fmt.Sprintf("%q", "https://"+hostOf(r.upstream, i)+"/"))
	}
	conf := fmt.Appendf(nil, programConf, addr, r.file(upstreamCA), tok, strings.Join(prefixes, ",\n"))
	return os.WriteFile(filepath.Join(home, "config.toml"), conf, 0o600)
}

// hostOf is the i-th of the hosts that were never asked for: an address at the
// upstream's port.
func hostOf(upstream string, i int) string {
	_, port, _ := strings.Cut(upstream, ":")
	return fmt.Sprintf("127.%d.%d.%d:%s", 1+i>>16, i>>8&255, i&255, port)
}

// profiles returns the variables that have a program built for it write
// profiles of a work. They are written when serve ends.
func (r *rig) profiles(w work) []string {
	if r.profile == "" {
		return nil
	}
	return []string{
		"INJECTPROXY_CPUPROFILE=" + filepath.Join(r.profile, w.name+".cpu.pprof"),
		"INJECTPROXY_MEMPROFILE=" + filepath.Join(r.profile, w.name+".mem.pprof"),
	}
}

// profileDir makes the directory of profiles, and names it from the root: the
// program is started elsewhere.
func profileDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	abs, err := filepath.Abs(dir)
	return abs, errors.Join(err, os.MkdirAll(abs, 0o755))
}
