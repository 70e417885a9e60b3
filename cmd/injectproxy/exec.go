package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// Exit statuses of exec itself, those that env, nohup and timeout have too.
const (
	exitNotStarted = 125 // there is no proxy, for whatever reason
	exitNoExec     = 126 // the command is there and cannot be run
	exitNotFound   = 127
)

func newExecCommand(g *globals) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [--only RULE|TEAM]… [--rule PREFIX=AUDIENCE]… -- CMD [ARG…]",
		Short: "Run a command behind a proxy of its own",
		Long: `exec runs CMD, and for as long as CMD runs a proxy for it alone: on a port of its
own, with a CA that can speak for the hosts of the rules and whose keys never
leave memory, and with a credential that only CMD gets. CMD's environment leads
it and what it starts to that proxy and has them trust it. No serve is needed.

  injectproxy exec -- claude
  injectproxy exec --only mcp -- npx @modelcontextprotocol/inspector
  injectproxy exec --rule https://mcp.corp.example/=env:MCP_TOKEN -- opencode

--only NAME limits the tokens to those of one rule, of all rules of a team, or
of one rule of a team (TEAM/RULE where several have one of that name). Requests
under any other rule go as if there was none.

--rule PREFIX=AUDIENCE adds a rule. Then no configuration is read, unless
--config or --only asks for it. AUDIENCE is one of

  env:NAME        the token in that environment variable
  file:PATH       the token in that file, read again when it changes
  client_id:GUID  an Entra token for api://GUID/.default
  resource:URI    an Entra token for URI/.default
  scope:SCOPE     an Entra token for that scope, taken as it is

What is in CMD's environment already is kept: bundles of roots are merged, and
NO_PROXY keeps all entries but those that cover a rule's host, which are told.
Java takes no proxy credential from its environment: a Java program needs an
Authenticator, or a running serve (injectproxy env). Standard input, output and
error are CMD's; exec logs warnings only, unless --log-level says otherwise. The
audit file of the configuration has CMD's requests, too.

CMD stays in the same session and process group. HUP, TERM, USR1, USR2 and WINCH
are passed on to it. INT, QUIT, TSTP and CONT reach it from its terminal and
shell, once, and are passed on where it has none or is in the background.

Exit status: that of CMD. Where a signal ended CMD, the same one ends exec, or it
exits with 128 and the signal's number: a shell shows one number for both. 125 if
the proxy could not start or the command line is wrong, 126 if CMD cannot be run,
127 if it is not found.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("exec needs a command to run: injectproxy exec -- CMD [ARG…]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.command = args
			return g.exec(cmd.ErrOrStderr(), o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows CMD is CMD's, with or without the dashes
	flags.StringArrayVar(&o.only, "only", nil, "`name` of a rule or team to limit the tokens to; may be repeated")
	flags.StringArrayVar(&o.rules, "rule", nil, "`prefix=audience` of a rule to add; may be repeated")
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("only", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return g.completeRules()
	})
	return cmd
}

// execOptions are exec's flags and arguments.
type execOptions struct {
	only, rules []string
	command     []string
}

// exec runs a command behind a proxy of its own. Nothing of the proxy is left
// when it returns or, as the case may be, dies of the command's signal.
func (g *globals) exec(stderr io.Writer, o execOptions) error {
	signals, uncatch := catchSignals()
	defer uncatch()
	if err := leaveProxy(); err != nil {
		return err
	}
	if err := refuseDebugging(os.Getenv("GODEBUG")); err != nil {
		return err
	}
	cfg, err := g.execConfig(stderr, o)
	if err != nil {
		return err
	}
	program, err := findProgram(o.command[0])
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(stderr, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	warnOfWeakening(log, os.Getenv("GODEBUG"))
	audit, err := openAudit(cfg.Log.Audit, log)
	if err != nil {
		return err
	}
	p, err := startPrivateProxy(cfg, log, audit)
	if err != nil {
		return err
	}
	tellLifted(stderr, p.environment.Lifted)
	for _, note := range p.environment.Notes {
		log.Info(note)
	}
	how, err := attend(&exec.Cmd{
		Path: program, Args: o.command, Env: p.environment.Apply(os.Environ()),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}, signals)
	p.close()
	if err != nil {
		return err
	}
	return endLike(how, uncatch)
}

// execStatus returns the exit status for an error of exec's own. Statuses 1 and
// 2 would be taken for the command's.
func execStatus(command *cobra.Command, f *failure) int {
	if command.Name() == "exec" && f.err != nil && (f.status == exitFailed || f.status == exitUsage) {
		return exitNotStarted
	}
	return f.status
}

// cannotRun is the error of a command that is not there or cannot be run.
func cannotRun(name string, err error) error {
	f := &failure{status: exitNoExec, err: fmt.Errorf("cannot run %q: %s", name, errorText(err))}
	if isMissing(err) {
		f.status = exitNotFound
	}
	return f
}

// exitStatus is the error with the command's own status, nil for 0.
func exitStatus(status int) error {
	if status == 0 {
		return nil
	}
	return &failure{status: status}
}

// logEnd tells of a proxy that ended before its command did.
func logEnd(log *slog.Logger, err error) {
	log.Error("the proxy has ended, the command goes on without it", "error", err)
}
