package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newStdioCommand(g *globals) *cobra.Command {
	var o stdioOptions
	cmd := &cobra.Command{
		Use:   "stdio [URL]",
		Short: "Be a stdio MCP server that forwards to a remote one",
		Long: `stdio speaks MCP over standard input and output, as clients want it of a server
that they start themselves, and forwards each message to the MCP server at URL,
with an access token. It needs no serve and no CA, and listens nowhere.

  injectproxy stdio https://mcp.corp.example/servers/github
  injectproxy stdio --audience gateway https://mcp.corp.example/servers/github
  injectproxy stdio --client-id 58348f96-645d-4a2e-8c1d-000000000000 https://mcp.corp.example/mcp

The token is that of the rule which covers URL. --audience takes another audience
of the configuration; --client-id, --resource, --scope and --token-env say by
themselves what the token is, and then no configuration is read, unless --config
asks for it. Nothing is ever sent without a token, nor over plain http.

Messages pass as they are, both ways, ids and unknown methods included. A refused
token is replaced, a session that the server has lost too, unseen by the client.
Where a sign-in is needed the client is told which command makes it. Every
request gets an answer: that of a tool which shows no sign of life for
--tool-timeout is an error, and the server is told to stop.

--header "NAME: VALUE" adds a header to each request; ${VAR} in VALUE stands for
that environment variable. --allow-tool and --ignore-tool say which tools the
client sees and may call; * in a PATTERN stands for any characters.

One process serves one client and one server. It ends with its standard input,
by SIGINT or SIGTERM, and when the process that started it ends: a launcher has to
stay, or to exec it. Changes of the configuration count from its next start. What it has to say it writes to standard
error, warnings only unless --log-level says otherwise.

Environment, in place of the arguments, for those who come from
mcp-entra-auth-proxy: MCP_ENTRA_SERVER_URL, MCP_ENTRA_RESOURCE, MCP_ENTRA_TOKEN,
MCP_ENTRA_TENANT, MCP_ENTRA_REFRESH_MARGIN (minutes), MCP_ENTRA_TOOL_TIMEOUT
(seconds), MCP_ENTRA_HEADERS (a JSON object). Flags win over them, and the token
over the resource. With URL as an argument the token, resource, tenant and headers
do not count: they may be those of another server.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.url, o.urlGiven = args[0], true
			}
			return g.stdio(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	o.register(cmd)
	cmd.SetFlagErrorFunc(withoutValue)
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("audience", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return g.completeAudiences()
	})
	return cmd
}

// withoutValue is err without what may be a secret behind a flag that there is
// not, such as curl's -H.
func withoutValue(cmd *cobra.Command, err error) error {
	message, _, short := strings.Cut(err.Error(), " in -")
	if !short {
		return err
	}
	return &failure{status: exitUsage, err: errors.New(message), hint: cmd.CommandPath() + " --help; a header is --header \"NAME: VALUE\""}
}

const defaultToolTimeout = 2 * time.Minute

// stdioOptions are stdio's flags and argument.
type stdioOptions struct {
	url      string
	urlGiven bool
	given    func(flag string) bool // the flag stands on the command line

	transport     string
	audience      string
	clientID      string
	resource      string
	scope         string
	tenant        string
	tokenEnv      string
	toolTimeout   time.Duration
	headers       []string
	allow, ignore []string
	upstreamProxy string
}

// register gives cmd the flags of o.
func (o *stdioOptions) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.given = flags.Changed
	flags.StringVar(&o.transport, "transport", "auto", "how the server is spoken to: auto, http or sse")
	flags.StringVar(&o.audience, "audience", "", "`name` of the audience that the token is for")
	flags.StringVar(&o.clientID, "client-id", "", "`GUID` of the application: a token for api://GUID/.default")
	flags.StringVar(&o.resource, "resource", "", "`URI` of the resource: a token for URI/.default")
	flags.StringVar(&o.scope, "scope", "", "`scope` of the token, taken as it is")
	flags.StringVar(&o.tenant, "tenant", "", "`GUID` or domain of the tenant, with one of the three above")
	flags.StringVar(&o.tokenEnv, "token-env", "", "`name` of the environment variable that holds the token")
	flags.DurationVar(&o.toolTimeout, "tool-timeout", defaultToolTimeout, "how long a tool may show no sign of life; 0 is without end")
	flags.StringArrayVar(&o.headers, "header", nil, "`\"name: value\"` of a header to add to each request; may be repeated")
	flags.StringArrayVar(&o.allow, "allow-tool", nil, "`pattern` of the tools that the client may see, in place of all; may be repeated")
	flags.StringArrayVar(&o.ignore, "ignore-tool", nil, "`pattern` of tools that the client may not see; may be repeated")
	flags.StringVar(&o.upstreamProxy, "upstream-proxy", "", "env, direct or a `URL`, in place of upstream_proxy")
}

// stdio bridges stdin and stdout to the server, until one of them ends.
// Whatever is wrong with the command line it says before it reads stdin.
func (g *globals) stdio(stdin io.Reader, stdout, stderr io.Writer, o stdioOptions) error {
	parent := os.Getppid() // before anything that takes time
	signals, uncatch := catchEnds()
	defer uncatch()
	if err := leaveProxy(); err != nil {
		return err
	}
	if err := harden(stderr); err != nil {
		return err
	}
	s, err := g.stdioSetting(stderr, o, os.LookupEnv)
	if err != nil {
		return err
	}
	if f, ok := stdin.(*os.File); ok && isTerminal(f) {
		fmt.Fprintln(stderr, "injectproxy stdio: standard input is a terminal. An MCP client is to start this; what comes now has to be its messages, one in a line.")
	}
	// What libraries print is not the client's: traces that go to the console,
	// above all.
	os.Stdout = os.Stderr
	words := newAside(stderr)
	defer words.close(lastLines)
	b, err := startBridge(s, words)
	if err == nil {
		err = b.attend(stdin, stdout, signals, parent)
	}
	return words.told(err)
}

// lastLines is what somebody has to read the last lines of standard error.
const lastLines = 50 * time.Millisecond
