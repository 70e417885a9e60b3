package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong
)

// failure is an error that knows its exit status and, where there is one, the
// remedy. An err of nil has been told already: only the status counts.
type failure struct {
	status int
	err    error
	hint   string
}

// Error implements error.
func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.status)
	}
	return f.err.Error()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// globals are the flags that every command has. "" leaves a setting to the
// configuration.
type globals struct {
	config    string
	logLevel  string
	logFormat string

	withoutFiles bool // those that gate.toml names are not read

	started bool // a command has begun, so that the command line was right
}

// run runs one command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	g := &globals{}
	root := newRootCommand(g)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return 0
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: exitFailed, err: err}
		if !g.started {
			f.status, f.hint = exitUsage, command.CommandPath()+" --help"
		}
	}
	if f.err != nil {
		printError(stderr, err, f.hint)
	}
	return execStatus(command, f)
}

// printError is the one form in which errors reach the user.
func printError(w io.Writer, err error, hint string) {
	// What else cobra has to say about an unknown command follows on further lines.
	message, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(w, "error: %s\n", message)
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

func newRootCommand(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "injectproxy",
		Short: "A local proxy that attaches access tokens to the requests that need them",
		Long: `injectproxy is a forward HTTPS proxy on your own machine. Requests under the
prefixes that you configure get an access token, fetched and refreshed for you;
all others pass as they are.`,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return g.check(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&g.config, "config", "", "configuration `file` (default: config.toml in $INJECTPROXY_HOME, else in your\nconfiguration directory, else /etc/injectproxy/config.toml)")
	flags.StringVar(&g.logLevel, "log-level", "", "debug, info, warn or error, in place of log.level")
	flags.StringVar(&g.logFormat, "log-format", "", "text or json, in place of log.format")
	root.AddCommand(
		newCACommand(g),
		newCheckCommand(g),
		newDemoCommand(),
		newDoctorCommand(g),
		newEnvCommand(g),
		newExecCommand(g),
		newExplainCommand(g),
		newGateCommand(g),
		newInitCommand(g),
		newLoginCommand(g),
		newManCommand(),
		newServeCommand(g),
		newStatusCommand(g),
		newStdioCommand(g),
		newVersionCommand(),
	)
	completeValues(root, g)
	return root
}

// check validates the global flags, and those of cmd that go together or not:
// cobra would do so only once the command has begun.
func (g *globals) check(cmd *cobra.Command) error {
	for _, flag := range []struct {
		name, value string
		allowed     []string
	}{
		{"log-level", g.logLevel, []string{"debug", "info", "warn", "error"}},
		{"log-format", g.logFormat, []string{"text", "json"}},
	} {
		if flag.value != "" && !slices.Contains(flag.allowed, flag.value) {
			return usageError("--%s must be one of %s, not %q", flag.name, strings.Join(flag.allowed, ", "), flag.value)
		}
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return err
	}
	g.started = true
	return nil
}

// usageError is a mistake on the command line.
func usageError(format string, args ...any) error {
	return &failure{status: exitUsage, err: fmt.Errorf(format, args...)}
}

// load finds and reads the configuration, flags applied. The Config is nil if
// there is an error in config.toml; the problems say which. The error means
// that there is no configuration at all.
func (g *globals) load() (*config.Config, []config.Problem, error) {
	file, err := config.Find(g.config)
	if err != nil {
		f := &failure{status: exitUsage, err: err}
		if errors.Is(err, fs.ErrNotExist) {
			f.err = errors.New("there is no config.toml")
			f.hint = "injectproxy init writes one, or name one with --config"
			if home, err := config.Home(); err == nil {
				f.hint = "injectproxy init writes " + home + "/config.toml, or name one with --config"
			}
		}
		return nil, nil, f
	}
	cfg, problems := config.Load(file)
	if cfg != nil {
		g.override(&cfg.Log)
	}
	return cfg, problems, nil
}

// override has the flags take the place of what a file says of the log.
func (g *globals) override(l *config.Log) {
	l.Level, l.Format = cmp.Or(g.logLevel, l.Level), cmp.Or(g.logFormat, l.Format)
}

// valid is load for commands that need a configuration: its problems go to
// stderr, and without one there is an error.
func (g *globals) valid(stderr io.Writer) (*config.Config, error) {
	cfg, problems, err := g.load()
	if err != nil {
		return nil, err
	}
	printProblems(stderr, problems)
	if cfg == nil {
		return nil, brokenConfig(problems)
	}
	return cfg, nil
}

// printProblems writes one line per problem, and its hint below it.
func printProblems(w io.Writer, problems []config.Problem) {
	for _, p := range problems {
		fmt.Fprintln(w, p)
		if p.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", p.Hint)
		}
	}
}

// brokenConfig is the error of a command that needs a configuration which has
// errors. The problems have been printed.
func brokenConfig(problems []config.Problem) error {
	return &failure{status: exitUsage, err: fmt.Errorf("the configuration has %s", countErrors(problems))}
}

func countErrors(problems []config.Problem) string {
	n := 0
	for _, p := range problems {
		if !p.Warning {
			n++
		}
	}
	if n == 1 {
		return "an error"
	}
	return fmt.Sprintf("%d errors", n)
}
