package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

func newCheckCommand(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration and print every problem with file and line",
		Long: `check reads config.toml and the team files it includes, and prints every
problem as FILE:LINE: what is wrong. It also reports rules for hosts that the CA
of this user, where there is one, may not sign for.

Exit status: 0 without errors (there may be warnings), 2 with errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, problems, err := g.load()
			if err != nil {
				return err
			}
			if cfg != nil {
				_, unsigned := ownCA(cfg)
				problems = append(problems, unsigned...)
			}
			if asJSON {
				err = printProblemsJSON(cmd.OutOrStdout(), problems)
			} else {
				// They are what was asked for, so they are data.
				printProblems(cmd.OutOrStdout(), problems)
			}
			if err != nil {
				return err
			}
			return verdict(problems)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// ownCA returns the CA of this user and the problems of cfg with it: rules for
// hosts that it may not sign for. Without a CA there are none, for the one that
// serve makes will fit.
func ownCA(cfg *config.Config) (*ca.Authority, []config.Problem) {
	home, err := config.Home()
	if err != nil {
		return nil, nil
	}
	authority, err := ca.Open(caDir(home), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []config.Problem{caProblem(config.Position{File: caDir(home)}, "", err)}
	}
	var problems []config.Problem
	for _, rule := range cfg.Rules {
		for _, prefix := range rule.Prefixes {
			host, _, _ := net.SplitHostPort(prefix.Authority()) // canonical: it splits
			if err := authority.Check(host); err != nil && rule.Off == "" {
				problems = append(problems, caProblem(rule.Pos, "rule "+rule.Name+" is off: ", err))
			}
		}
	}
	return authority, problems
}

func caProblem(at config.Position, subject string, err error) config.Problem {
	if e, ok := errors.AsType[*ca.Error](err); ok {
		if subject == "" && e.Path != "" {
			at.File = e.Path
		}
		return config.Problem{Position: at, Message: subject + e.Reason, Hint: e.Hint}
	}
	return config.Problem{Position: at, Message: subject + err.Error()}
}

// verdict is the exit status that the problems ask for, without another word.
func verdict(problems []config.Problem) error {
	for _, p := range problems {
		if !p.Warning {
			return &failure{status: exitUsage}
		}
	}
	return nil
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Level   string `json:"level"` // error or warning
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func printProblemsJSON(w io.Writer, problems []config.Problem) error {
	return printJSON(w, problemsJSON(problems))
}

// problemsJSON is the form of problems in JSON.
func problemsJSON(problems []config.Problem) []problemJSON {
	list := make([]problemJSON, len(problems))
	for i, p := range problems {
		list[i] = problemJSON{p.File, p.Line, p.Column, "error", p.Message, p.Hint}
		if p.Warning {
			list[i].Level = "warning"
		}
	}
	return list
}

// printJSON writes v indented, with URLs as they are.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %v", err)
	}
	return nil
}
