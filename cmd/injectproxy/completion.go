package main

import (
	"github.com/spf13/cobra"
)

// completeValues teaches the shells' completion what flags and arguments take,
// as far as that is known without asking anybody: the words of a flag, and the
// audiences of the configuration.
func completeValues(root *cobra.Command, g *globals) {
	words := map[string][]string{
		"log-level": {"debug", "info", "warn", "error"}, "log-format": {"text", "json"}, "shell": shells, "transport": transports,
		"request": {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"},
	}
	for _, cmd := range append(root.Commands(), root) {
		for name, list := range words {
			if cmd.LocalNonPersistentFlags().Lookup(name) != nil || cmd == root && cmd.PersistentFlags().Lookup(name) != nil {
				// It fails only for a flag that is not there.
				_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
			}
		}
		switch cmd.Name() {
		case "login":
			cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return g.completeAudiences()
			}
		case "explain":
			cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return g.completePrefixes()
			}
		}
	}
}

// completeAudiences offers the audiences of the configuration. One that is
// missing or broken offers none.
func (g *globals) completeAudiences() ([]string, cobra.ShellCompDirective) {
	cfg, _, err := g.load()
	if err != nil || cfg == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return audienceNames(cfg), cobra.ShellCompDirectiveNoFileComp
}

// completePrefixes offers the prefixes of the rules, to go on typing from.
func (g *globals) completePrefixes() ([]string, cobra.ShellCompDirective) {
	var list []string
	if cfg, _, err := g.load(); err == nil && cfg != nil {
		for _, rule := range cfg.Rules {
			for _, prefix := range rule.Prefixes {
				list = append(list, prefix.String())
			}
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
