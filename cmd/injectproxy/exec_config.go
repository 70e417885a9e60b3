package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/clientenv"
	"github.com/injectproxy/injectproxy/internal/config"
)

// audienceForms are the ways to write the audience of --rule, and the key that
// each stands for.
var audienceForms = [...]struct{ word, key string }{
	{"env", "token_env"}, {"file", "token_file"}, {"client_id", "client_id"}, {"resource", "resource"}, {"scope", "scope"},
}

// execConfig returns the configuration of a private proxy. It is quiet: its
// stderr is the command's.
func (g *globals) execConfig(stderr io.Writer, o execOptions) (*config.Config, error) {
	rules := make([]config.Inline, len(o.rules))
	for i, s := range o.rules {
		var err error
		if rules[i], err = parseInline(s); err != nil {
			return nil, usageError("--rule %d: %v", i+1, err)
		}
	}
	base, err := g.execBase(stderr, o)
	if err != nil {
		return nil, err
	}
	cfg, problems := config.WithInline(base, rules)
	for _, p := range problems {
		if !p.Warning {
			return nil, &failure{status: exitUsage, err: errors.New(p.String()), hint: p.Hint}
		}
	}
	if len(o.only) > 0 {
		for i := range rules {
			o.only = append(slices.Clip(o.only), config.InlineName(i+1))
		}
		if cfg, err = cfg.Only(o.only...); err != nil {
			return nil, usageError("--only: %v", err)
		}
	}
	if len(cfg.Rules) == 0 {
		return nil, &failure{status: exitUsage, err: errors.New("there is no rule, so that nothing would get a token"),
			hint: "put one into " + cfg.File + ", or give one with --rule"}
	}
	cfg.Log.Level = cmp.Or(g.logLevel, quieter(cfg.Log.Level))
	cfg.Log.Format = cmp.Or(g.logFormat, cfg.Log.Format)
	return cfg, cfg.OverrideListen("127.0.0.1:0")
}

// execBase returns the configuration that the rules of the command line are
// added to: nil where they stand alone.
func (g *globals) execBase(stderr io.Writer, o execOptions) (*config.Config, error) {
	if len(o.rules) > 0 && len(o.only) == 0 && g.config == "" {
		return nil, nil
	}
	return g.quietly(stderr, "injectproxy init writes one, or give a rule: injectproxy exec --rule PREFIX=AUDIENCE -- CMD")
}

// quietly is valid for commands whose stderr is not read: it tells of errors
// alone. Hint is the remedy where there is no configuration at all.
func (g *globals) quietly(stderr io.Writer, hint string) (*config.Config, error) {
	cfg, problems, err := g.load()
	var f *failure
	if errors.As(err, &f) && g.config == "" {
		f.hint = hint
	}
	if err != nil {
		return nil, err
	}
	printProblems(stderr, slices.DeleteFunc(slices.Clone(problems), func(p config.Problem) bool { return p.Warning }))
	if cfg == nil {
		return nil, brokenConfig(problems)
	}
	return cfg, nil
}

// quieter returns the level of a log that stands between a command's own output.
func quieter(level string) string {
	if level == "error" {
		return level
	}
	return "warn"
}

// parseInline reads PREFIX=AUDIENCE. What is wrong with either is config's to
// say; no part is repeated here, as a token may have been put there by mistake.
func parseInline(s string) (config.Inline, error) {
	first, rule, word := len(s), config.Inline{}, ""
	for _, form := range audienceForms {
		if i := strings.Index(s, "="+form.word+":"); i >= 0 && i < first {
			first, word = i, form.word
			rule = config.Inline{Prefix: s[:i], Kind: form.key, Value: s[i+len(word)+2:]}
		}
	}
	if word == "" {
		return rule, errors.New("want PREFIX=AUDIENCE, AUDIENCE being env:NAME, file:PATH, client_id:GUID, resource:URI or scope:SCOPE")
	}
	if rule.Value == "" {
		return rule, fmt.Errorf("there is nothing after the colon of %s", word)
	}
	if rule.Kind == "token_env" && os.Getenv(rule.Value) == "" {
		return rule, errors.New("the environment variable that env: names is not set")
	}
	return rule, nil
}

// leaveProxy takes what an env or exec around this one has done out of this
// process's environment: the way out does not lead through another injectproxy,
// which would give tokens by rules of its own.
func leaveProxy() error {
	now := os.Environ()
	before := map[string]string{}
	for _, kv := range clientenv.Before(now) {
		if name, value, _ := strings.Cut(kv, "="); name != "" {
			before[name] = value
		}
	}
	var errs []error
	for _, kv := range now {
		name, _, _ := strings.Cut(kv, "=")
		if _, stays := before[name]; !stays && name != "" {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	for name, value := range before {
		if os.Getenv(name) != value {
			errs = append(errs, os.Setenv(name, value))
		}
	}
	return errors.Join(errs...)
}

// completeRules offers what --only takes.
func (g *globals) completeRules() ([]string, cobra.ShellCompDirective) {
	var list []string
	if cfg, _, err := g.load(); err == nil && cfg != nil {
		for _, rule := range cfg.Rules {
			for _, name := range []string{rule.Name, rule.Team} {
				if name != "" && !slices.Contains(list, name) {
					list = append(list, name)
				}
			}
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
