package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
)

func newCheckCommand(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration and print every problem with file and line",
		Long: `check reads config.toml and the team files it includes, and prints every
problem as FILE:LINE: what is wrong.

Exit status: 0 without errors (there may be warnings), 2 with errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, problems, err := g.load()
			if err != nil {
				return err
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
	list := make([]problemJSON, len(problems))
	for i, p := range problems {
		list[i] = problemJSON{p.File, p.Line, p.Column, "error", p.Message, p.Hint}
		if p.Warning {
			list[i].Level = "warning"
		}
	}
	return printJSON(w, list)
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
