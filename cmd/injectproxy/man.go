package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManCommand is for packagers, not for users: it is not in the list of
// commands.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages of all commands into a directory",
		Long: `man writes a page of section 1 for each command into DIR, which it makes where it
is not there. SOURCE_DATE_EPOCH, where it is set, is the date of the pages.`,
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			// #nosec G301 -- everybody reads man pages
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("making the directory of the man pages: %w", err)
			}
			indentExamples(cmd.Root())
			if err := doc.GenManTree(cmd.Root(), manHeader(), args[0]); err != nil {
				return fmt.Errorf("writing the man pages: %w", err)
			}
			return nil
		},
	}
}

// indentExamples has the lines that help texts indent by two spaces stay as they
// are: Markdown, which cobra takes the texts for, wants four.
func indentExamples(cmd *cobra.Command) {
	cmd.Long = strings.ReplaceAll(cmd.Long, "\n  ", "\n    ")
	for _, sub := range cmd.Commands() {
		indentExamples(sub)
	}
}

// manHeader is what each page has at its top. A page shows month and year.
func manHeader() *doc.GenManHeader {
	header := &doc.GenManHeader{Section: "1", Source: "injectproxy", Manual: "injectproxy"}
	if os.Getenv("SOURCE_DATE_EPOCH") == "" { // cobra reads it, and takes a bad one for an error
		now := time.Now().UTC()
		header.Date = &now
	}
	return header
}
