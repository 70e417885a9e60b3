package main

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// gateQuestion is what gate explain is asked.
type gateQuestion struct {
	method string
	url    *url.URL // without query and fragment; its host is what Host says
	kind   gate.Kind
	name   string // of the tool, resource or prompt; "" asks about the route alone
	caller *imagined
}

// imagined is a caller whose token is valid. Anonymous, it shows none.
type imagined struct {
	anonymous     bool
	scopes, roles []string
	left          time.Duration // until the token's end; 0: long enough
}

func newGateExplainCommand(g *globals) *cobra.Command {
	var tool, resource, prompt, method string
	var who imagined
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [--tool NAME | --resource URI | --prompt NAME] [--scopes A,B] [--roles A,B] [--anonymous] URL|PATH",
		Short: "Say what the gate would do with a request, and why",
		Long: `explain says which route of gate.toml a URL, or a path below public_url, belongs
to, what a caller needs there, what a tool, resource or prompt needs besides, and
what upstream gets to know of the caller: a token on behalf of a user, headers.
With --scopes, --roles or both it imagines a caller whose valid token has these,
with --anonymous one without a token, and says what the gate would answer, by the
code that answers when it serves. It opens no connection and asks for no token. With
--without-files it reads gate.toml alone, and not the files that are named there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := gateQuestion{method: method}
			for kind, name := range map[gate.Kind]string{gate.Tool: tool, gate.Resource: resource, gate.Prompt: prompt} {
				if cmd.Flags().Changed(string(kind)) {
					q.kind, q.name = kind, name
				}
			}
			if q.kind != "" && q.name == "" {
				return usageError("the name of the %s is empty", q.kind)
			}
			if who.anonymous || cmd.Flags().Changed("scopes") || cmd.Flags().Changed("roles") {
				q.caller = &who
			}
			if !slices.Contains([]string{"POST", "GET", "DELETE"}, method) {
				return usageError("%q is not POST, GET or DELETE", method)
			}
			if q.kind != "" && method != "POST" {
				return usageError("a %s is asked for by POST", q.kind)
			}
			cfg, err := g.validGate(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if q.url, err = gateTarget(cfg, args[0]); err != nil {
				return err
			}
			e, err := explainGate(cfg, q)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return e.print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&tool, "tool", "", "`name` of a tool that is called")
	f.StringVar(&resource, "resource", "", "`URI` of a resource that is read")
	f.StringVar(&prompt, "prompt", "", "`name` of a prompt that is asked for")
	f.StringSliceVar(&who.scopes, "scopes", nil, "scopes of the caller's token, `A,B`: those of a user")
	f.StringSliceVar(&who.roles, "roles", nil, "roles of the caller's token, `A,B`")
	f.BoolVar(&who.anonymous, "anonymous", false, "the caller shows no token")
	f.StringVarP(&method, "request", "X", "POST", "request `method`")
	f.BoolVar(&asJSON, "json", false, "print a JSON object")
	g.addWithoutFiles(cmd)
	cmd.MarkFlagsMutuallyExclusive("tool", "resource", "prompt")
	cmd.MarkFlagsMutuallyExclusive("anonymous", "scopes")
	cmd.MarkFlagsMutuallyExclusive("anonymous", "roles")
	return cmd
}

// gateTarget reads a URL, or a path below public_url. Its query is dropped: it
// decides nothing, and may hold secrets. No message repeats what was given.
func gateTarget(cfg *config.Gate, raw string) (*url.URL, error) {
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	if strings.HasPrefix(raw, "/") {
		raw = cfg.PublicURL.Scheme + "://" + cfg.PublicURL.Host + raw
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, usageError("that is neither a URL nor a path")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, usageError("the URL must begin with https:// or http://, a path with a slash")
	case u.User != nil:
		return nil, usageError("the URL has userinfo")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// caller returns whom the imagined token speaks for, nil without one.
func (i *imagined) caller(cfg *config.Gate) *verify.Caller {
	if i == nil || i.anonymous {
		return nil
	}
	const nobody = "00000000-0000-0000-0000-000000000000"
	return &verify.Caller{
		Tenant: cfg.Entra.Tenants[0], Object: nobody, Client: nobody, Scopes: bare(cfg, i.scopes), Roles: i.roles,
		Expires: time.Now().Add(cmp.Or(i.left, time.Hour)),
	}
}

// bare takes what stands before the names of scopes in challenges off them:
// tokens do not have it.
func bare(cfg *config.Gate, scopes []string) []string {
	names := make([]string, 0, len(scopes))
	for _, s := range scopes {
		names = append(names, strings.TrimPrefix(s, cfg.Entra.AppIDURI+"/"))
	}
	return names
}

// who is the caller in words.
func (i *imagined) who() string {
	switch {
	case i == nil:
		return ""
	case i.anonymous:
		return "anonymous"
	}
	words := append(permissions("scope", i.scopes), permissions("role", i.roles)...)
	if len(words) == 0 {
		return "a token with neither scopes nor roles"
	}
	return "a token with " + strings.Join(words, ", ")
}

func permissions(what string, names []string) (words []string) {
	for _, name := range names {
		words = append(words, what+" "+name)
	}
	return words
}
