package main

import (
	_ "embed" // the starter
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

// starter is the configuration that init writes.
//
//go:embed starter.toml
var starter string

// noPermit is the line of the starter in whose place --permit writes its own.
const noPermit = "\npermit = []\n"

func newInitCommand(g *globals) *cobra.Command {
	var permit []string
	cmd := &cobra.Command{
		Use:   "init [--permit DOMAIN…]",
		Short: "Write a commented configuration to start from",
		Long: `init writes config.toml with comments and examples, in $INJECTPROXY_HOME or your
configuration directory, or where --config says. It asks nothing and never
overwrites a file.

The CA that clients trust is made when serve first needs it, and can sign for
nothing but the hosts that rules name then. With --permit it can sign for these
domains, addresses or ranges, so that rules for them can be added later.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := starterFor(permit)
			if err != nil {
				return err
			}
			file, err := starterFile(g.config)
			if err != nil {
				return err
			}
			instead, err := config.Find("")
			if err := writeStarter(file, text); err != nil {
				return err
			}
			if err == nil && g.config == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: it takes the place of %s, which you have used so far\n", instead)
			}
			tellNext(cmd.ErrOrStderr(), file, g.config != "")
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&permit, "permit", nil, "`domain`, address or range that the CA may sign for")
	return cmd
}

// starterFor returns the starter for a CA that may sign for permit.
func starterFor(permit []string) (string, error) {
	if len(permit) == 0 {
		return starter, nil
	}
	quoted := make([]string, len(permit))
	for i, p := range permit {
		if _, err := ca.ParsePermit([]string{p}); err != nil {
			return "", usageError("--permit: %v", err)
		}
		quoted[i] = strconv.Quote(p) // it is plain: the line above has seen it
	}
	return strings.Replace(starter, noPermit, "\npermit = ["+strings.Join(quoted, ", ")+"]\n", 1), nil
}

// starterFile returns where the configuration belongs.
func starterFile(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	home, err := config.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "config.toml"), nil
}

// writeStarter makes file, for nobody else to read: passwords and tokens end
// up in configurations. A file that is there stays as it is.
func writeStarter(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &failure{status: exitFailed, err: fmt.Errorf("%s exists and is left as it is", file),
			hint: "edit it, or name another file with --config"}
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file)) // half a file would stand in the way of the next try
	}
	return nil
}

// tellNext says what comes after init. Named says that other commands find the
// file only if they are told.
func tellNext(w io.Writer, file string, named bool) {
	option := ""
	if named {
		option = " --config " + shellescape.Quote(file)
	}
	fmt.Fprintf(w, `%s is written.

1. Put an audience and a rule into it: there are examples.
2. injectproxy check%s
3. injectproxy serve%s
4. In the shell whose tools are to use it: eval "$(injectproxy env%[2]s)"
`, file, option, option)
}
