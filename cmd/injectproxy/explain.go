package main

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
)

func newExplainCommand(g *globals) *cobra.Command {
	var method string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [-X METHOD] URL",
		Short: "Say what would happen to a URL, and why",
		Long: `explain says whether the proxy would tunnel, forward or inject a request for
URL, and by which rule. It opens no connection and asks for no token, and takes
the path as it stands: clients resolve "..", servers may decode more.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return usageError("%q is not a request method", method)
			}
			cfg, err := g.valid(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			authority, unsigned := ownCA(cfg)
			printProblems(cmd.ErrOrStderr(), unsigned)
			e, err := explain(cfg, authority, method, target)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return e.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&method, "request", "X", "GET", "request `method`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// target is a URL taken apart without changing a byte of its path, which
// net/url would.
type target struct {
	scheme, authority, path string
	shown                   string // the URL as it is reported: canonical, without query
}

func parseTarget(raw string) (t target, err error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	t.scheme = strings.ToLower(scheme)
	if !ok || t.scheme != "https" && t.scheme != "http" {
		return t, usageError("the URL must begin with https:// or http://")
	}
	hostport, tail := rest, ""
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		hostport, tail = rest[:i], rest[i:]
	}
	// Query and fragment take no part in the decision, and may hold secrets.
	t.path, _, _ = strings.Cut(tail, "#")
	t.path, _, _ = strings.Cut(t.path, "?")
	if t.path == "" {
		t.path = "/"
	}
	if t.path[0] != '/' {
		return t, usageError("the URL has a backslash behind its host")
	}
	if t.authority, err = match.Authority(hostport); err != nil {
		return t, usageError("the URL's %v", err)
	}
	t.shown = t.scheme + "://" + t.shownAuthority(hostport) + t.path
	if !utf8.ValidString(t.shown) || strings.ContainsFunc(t.shown, unicode.IsControl) {
		t.shown = strconv.Quote(t.shown)
	}
	return t, nil
}

// shownAuthority leaves out the default port.
func (t target) shownAuthority(written string) string {
	if t.scheme == "http" && strings.HasSuffix(written, ":443") {
		return t.authority
	}
	return strings.TrimSuffix(t.authority, ":443")
}

// explanation is the answer. Its field names are the JSON output.
type explanation struct {
	Method   string   `json:"method"`
	URL      string   `json:"url"`     // without query
	Outcome  string   `json:"outcome"` // tunnel, forward, inject or refuse
	Status   int      `json:"status,omitempty"`
	Why      string   `json:"why"`
	Rule     string   `json:"rule,omitempty"`
	Kind     string   `json:"kind,omitempty"`
	Team     string   `json:"team,omitempty"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Prefix   string   `json:"prefix,omitempty"`
	Header   string   `json:"header,omitempty"`
	Existing string   `json:"existing,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Sources  []string `json:"sources,omitempty"`  // asked for an Entra token, in this order
	Identity string   `json:"identity,omitempty"` // "user" if an application's token is refused
	Az       []string `json:"az,omitempty"`       // the command that asks for the same token
	Token    string   `json:"token,omitempty"`    // where it comes from, if not from Entra
}

// explain decides as the proxy does, by the same table. Without a CA, authority
// is nil.
func explain(cfg *config.Config, authority *ca.Authority, method string, t target) (*explanation, error) {
	e := &explanation{Method: method, URL: t.shown}
	table, rules, err := cfg.Table()
	if err != nil {
		return nil, fmt.Errorf("rules: %v", err)
	}
	if t.scheme == "http" {
		e.Outcome, e.Why = "forward", "plain http:// is never injected"
		return e, nil
	}
	verdict := table.Lookup(t.authority, method, t.path)
	e.Why = verdict.Reason.String()
	switch {
	case verdict.Rule >= 0:
		rule := cfg.Rules[rules[verdict.Rule]]
		e.rule(rule)
		e.Prefix = prefixOf(rule, t)
		e.unsigned(authority, t)
		return e, e.audience(rule.Audience)
	case table.Intercepts(t.authority):
		e.Outcome = "forward"
		e.unsigned(authority, t)
	case cfg.Tunnel.Allow == "rules":
		e.Outcome, e.Status, e.Why = "refuse", 403, e.Why+`, and tunnel.allow is "rules"`
	default:
		e.Outcome = "tunnel"
	}
	return e, nil
}

// rule fills in what the rule says.
func (e *explanation) rule(r config.Rule) {
	e.Outcome = "inject"
	e.Rule, e.Kind, e.Team = r.Name, r.Kind, r.Team
	e.File, e.Line = r.Pos.File, r.Pos.Line
	e.Header, e.Existing = r.Header, r.Existing
	if r.Off != "" {
		e.Outcome, e.Status, e.Why = "refuse", 502, "the rule is off: "+r.Off
		if r.Name == "" {
			e.Why = r.Off
		}
	}
}

// unsigned turns e into a refusal if the CA may not sign for the host: then the
// proxy cannot look into the connection, and does not let it pass unseen.
func (e *explanation) unsigned(authority *ca.Authority, t target) {
	if authority == nil || e.Status != 0 {
		return
	}
	host, _, _ := net.SplitHostPort(t.authority) // canonical: it splits
	if err := authority.Check(host); err != nil {
		e.Outcome, e.Status, e.Why = "refuse", 502, caProblem(config.Position{}, "", err).Message
	}
}

func prefixOf(r config.Rule, t target) string {
	longest := ""
	for _, p := range r.Prefixes {
		if s := p.String(); len(s) > len(longest) && p.Covers(t.authority, t.path) {
			longest = s
		}
	}
	return longest
}

// audience fills in where the token would come from.
func (e *explanation) audience(a *config.Audience) error {
	if a == nil { // a refusal in place of a team's rules
		return nil
	}
	e.Audience, e.Tenant = a.Name, a.Tenant
	switch {
	case a.TokenEnv != "":
		e.Token = "environment variable " + a.TokenEnv
	case a.TokenFile != "":
		e.Token = "file " + a.TokenFile
	case a.TokenCommand != nil:
		// Its arguments may hold a secret.
		e.Token = "command " + a.TokenCommand[0]
	default:
		resolved, err := entraOf(a).Resolve()
		if err != nil {
			return fmt.Errorf("audience %s: %v", a.Name, err)
		}
		e.Scope, e.Sources = resolved.Scope, sourcesOf(a)
		if a.Identity == "user" {
			e.Identity = a.Identity
		}
		e.Az = append([]string{"az", "account", "get-access-token"}, resolved.AzArgs...)
		if a.Tenant != "" {
			e.Az = append(e.Az, "--tenant", a.Tenant)
		}
	}
	return nil
}

// print writes the explanation for people: what is known, one line each.
func (e *explanation) print(w io.Writer) error {
	outcome := e.Outcome
	if e.Status != 0 {
		outcome = fmt.Sprintf("%s (%d)", e.Outcome, e.Status)
	}
	place := ""
	if e.File != "" {
		place = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	rule := e.Rule
	if e.Kind != "" {
		rule += " (" + e.Kind + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.Method, e.URL)
	for _, line := range [][2]string{
		{"outcome", outcome},
		{"why", e.Why},
		{"rule", rule},
		{"team", e.Team},
		{"defined", place},
		{"prefix", e.Prefix},
		{"header", e.headerLine()},
		{"audience", e.Audience},
		{"tenant", e.Tenant},
		{"scope", e.Scope},
		{"sources", strings.Join(e.Sources, ", then ")},
		{"identity", e.Identity},
		{"token", e.Token},
		{"az", strings.Join(e.Az, " ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", line[0], line[1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *explanation) headerLine() string {
	if e.Existing == "keep" {
		return e.Header + ", unless the client sends it: then that one is kept, and no token is asked for"
	}
	return e.Header
}
