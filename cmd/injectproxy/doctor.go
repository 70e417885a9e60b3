package main

import (
	"context"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

// examineLimit is how long one check may take that waits for the network. One
// that waits for a token has token.timeout, as a request has.
const examineLimit = 10 * time.Second

func newDoctorCommand(g *globals) *cobra.Command {
	var asJSON bool
	var listen string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong, and what mends it",
		Long: `doctor looks at all that has to be right for a request to get its token: the
configuration and who can change it, the CA, its constraints and whether the
running serve has it, this shell's variables, az, one token of each audience and
whom it is for, the upstream proxy, every host that a rule names, and the clock.

It opens no sign-in, shows no token, and connects to nothing but the hosts of
rules, the identity service, the upstream proxy and serve. Hosts are sent one
HEAD request without a token.

Exit status: 0, or 1 if a check failed. A warning is no failure.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden(cmd.ErrOrStderr()); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			findings, err := g.examine(ctx, listen, newProgress(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				err = printJSON(out, findings)
			} else {
				err = printFindings(out, findings, colourful(out))
			}
			if err == nil && failures(findings) > 0 {
				err = &failure{status: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().StringVar(&listen, "listen", "", "`address` that serve was given by the same flag")
	return cmd
}

// examine makes all checks and returns what they found, in an order that is
// always the same.
func (g *globals) examine(ctx context.Context, listen string, p *progress) ([]finding, error) {
	cfg, findings := g.examineConfig()
	if cfg == nil {
		return findings, nil
	}
	if listen != "" {
		if err := cfg.OverrideListen(listen); err != nil {
			return nil, usageError("--listen: %v", err)
		}
	}
	d, err := newDoctor(cfg)
	if err != nil {
		return nil, err
	}
	defer d.close()
	findings = append(findings, d.examineHome()...)
	findings = append(findings, d.examineCA()...)
	findings = append(findings, d.atOnce(ctx, p, d.checks())...)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return append(withTokens(findings), d.clocks.examine()...), nil
}

// withTokens makes it no failure that the identity service cannot be reached
// where every audience has a token all the same: a managed identity has no use
// for it, and others have some time.
func withTokens(findings []finding) []finding {
	failed := func(check string) func(finding) bool {
		return func(f finding) bool { return f.Check == check && f.Status == stateFail }
	}
	i := slices.IndexFunc(findings, failed("identity"))
	if i >= 0 && !slices.ContainsFunc(findings, failed("token")) {
		findings[i].Status = stateWarn
	}
	return findings
}

// doctor is one examination.
type doctor struct {
	cfg       *config.Config
	home      string
	authority *ca.Authority             // nil: there is none that could be used
	own       func(netip.AddrPort) bool // whether an address is serve's
	environ   []string                  // in which doctor was started
	network   *network                  // nil: the settings of the network are wrong
	login     *login                    // nil likewise
	broken    error                     // what is wrong with them
	clocks    clocks
}

func newDoctor(cfg *config.Config) (*doctor, error) {
	home, err := config.Home()
	if err != nil {
		return nil, err
	}
	d := &doctor{cfg: cfg, home: home, own: listensAt(cfg.Listen), environ: os.Environ()}
	if address, err := reachable(cfg.Listen); err == nil {
		d.own = listensAt(address)
	}
	// It asks for tokens just as serve does, and never opens a sign-in.
	if d.login, d.broken = newLogin(cfg, nil, nil); d.broken == nil {
		d.network = newNetwork(cfg, d.login.identity, d.own)
	}
	return d, nil
}

func (d *doctor) close() {
	if d.login != nil {
		d.login.close()
	}
}

// examination is one check that takes time.
type examination struct {
	limit time.Duration
	run   func(context.Context) []finding
}

// checks returns those that take time, in the order of their findings.
func (d *doctor) checks() []examination {
	list := []examination{{examineLimit, d.examineServe}, {examineLimit, d.examineStores}, {examineLimit, d.examineClients}}
	if d.broken != nil {
		return append(list, examination{examineLimit, d.examineSettings})
	}
	list = append(list, examination{examineLimit, d.examineAz})
	for _, a := range d.cfg.Audiences {
		list = append(list, examination{d.cfg.Token.Timeout, func(ctx context.Context) []finding { return d.examineToken(ctx, a) }})
	}
	list = append(list, examination{examineLimit, d.examineSystemProxy})
	for _, w := range d.ways() {
		// The proxy is asked first, and then what is behind it.
		list = append(list, examination{2 * examineLimit, func(ctx context.Context) []finding { return d.examineWay(ctx, w) }})
	}
	return list
}

// atOnce runs all checks at the same time.
func (d *doctor) atOnce(ctx context.Context, p *progress, list []examination) (all []finding) {
	found := make([][]finding, len(list))
	p.count(0, len(list))
	var running sync.WaitGroup
	var done atomic.Int64
	for i, e := range list {
		running.Go(func() {
			defer func() { p.count(int(done.Add(1)), len(list)) }()
			ctx, cancel := context.WithTimeout(ctx, e.limit)
			defer cancel()
			found[i] = e.run(ctx)
		})
	}
	running.Wait()
	p.count(0, 0)
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}
