package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
)

// examineConfig reads the configuration as check does. Without a usable one it
// returns no Config: then nothing else can be looked at.
func (g *globals) examineConfig() (*config.Config, []finding) {
	cfg, problems, err := g.load()
	if err != nil {
		f := finding{"config", stateFail, "config.toml", err.Error(), "injectproxy init"}
		if g.config != "" {
			f.Subject, f.Remedy = g.config, ""
		}
		if e, ok := errors.AsType[*failure](err); ok && f.Remedy == "" {
			f.Remedy = cmp.Or(e.hint, "name the configuration with --config FILE")
		}
		return nil, []finding{f}
	}
	var findings []finding
	for _, p := range problems {
		findings = append(findings, problemFinding("config", p))
	}
	if cfg == nil {
		return nil, findings
	}
	if len(cfg.Rules) == 0 {
		findings = append(findings, finding{"config", stateWarn, cfg.File, "there is no rule, so nothing gets a token", "add a [[rule]] to " + cfg.File + ": there are examples"})
	}
	findings = append(findings, shadows(cfg.Rules)...)
	if len(findings) == 0 {
		findings = []finding{{"config", stateOK, cfg.File, several(len(cfg.Rules), "rule") + ", " + several(len(cfg.Audiences), "audience"), ""}}
	}
	return cfg, findings
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// problemFinding is a problem of the configuration as a finding. Each says at
// least where to mend it.
func problemFinding(check string, p config.Problem) finding {
	f := finding{check, stateFail, p.Position.String(), p.Message, cmp.Or(p.Hint, "mend "+p.Position.String()+", then: injectproxy check")}
	// A GUID in the place of another may be meant, but whoever asks what is
	// wrong has found it.
	mixedUp := strings.Contains(p.Message, "is the GUID of a tenant") || strings.Contains(p.Message, "are the same GUID")
	if p.Warning && !mixedUp {
		f.Status = stateWarn
	}
	if strings.HasPrefix(p.Message, "upstream_proxy must be a URL without path") {
		f.Remedy = `a PAC file is not supported: name the proxy that it chooses, upstream_proxy = "http://HOST:PORT"`
	}
	return f
}

// shadows returns the prefixes of rules that lie below another rule's and take
// something from it that their author may not expect.
func shadows(rules []config.Rule) (findings []finding) {
	for _, inner := range rules {
		for _, outer := range rules {
			for _, in := range inner.Prefixes {
				for _, out := range outer.Prefixes {
					if in != out && in.Within(out) && inner.Off == "" && outer.Off == "" {
						findings = append(findings, shadow(rules, inner, outer, in, out)...)
					}
				}
			}
		}
	}
	return findings
}

func shadow(rules []config.Rule, inner, outer config.Rule, in, out match.Prefix) []finding {
	detail, remedy := "", ""
	switch methods := methodsOf(rules, in); {
	case methods != nil && slices.ContainsFunc(methodsOf(rules, out), func(m string) bool { return !slices.Contains(methods, m) }),
		methods != nil && methodsOf(rules, out) == nil:
		detail = fmt.Sprintf("below %s of rule %s, and for %s alone: other methods get no token, not even that rule's", out, outer.Name, strings.Join(methods, ", "))
		remedy = fmt.Sprintf("leave methods out at %s, or add a rule for the others there", inner.Pos)
	case inner.Audience != outer.Audience:
		detail = fmt.Sprintf("below %s of rule %s, from which it takes these requests: they get the token of audience %s, not of %s", out, outer.Name, inner.Audience.Name, outer.Audience.Name)
		remedy = "injectproxy explain " + shellescape.Quote(in.String())
	default:
		return nil
	}
	return []finding{{"config", stateWarn, "rule " + inner.Name, in.String() + " lies " + detail, remedy}}
}

// methodsOf returns the methods that rules of that prefix are for, nil for all.
func methodsOf(rules []config.Rule, prefix match.Prefix) []string {
	var all []string
	for _, r := range rules {
		if slices.Contains(r.Prefixes, prefix) {
			if r.Methods == nil {
				return nil
			}
			all = append(all, r.Methods...)
		}
	}
	return all
}

// examineHome sees whether other users can get at what is this user's alone.
// The CA's files and those of the configuration are looked at when they are
// read. Windows closes the directory by its access list.
func (d *doctor) examineHome() []finding {
	info, err := os.Stat(d.home)
	if err != nil || runtime.GOOS == "windows" {
		return nil
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return []finding{{"home", stateFail, d.home, fmt.Sprintf("others can put their own files there (mode %04o)", mode), "chmod 700 " + shellescape.Quote(d.home)}}
	}
	file := filepath.Join(d.home, "credential")
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return []finding{{"home", stateFail, file, fmt.Sprintf("others can read it (mode %04o); serve makes another when it starts", info.Mode().Perm()), "rm " + shellescape.Quote(file)}}
	}
	return []finding{{"home", stateOK, d.home, "nobody else can change it", ""}}
}
