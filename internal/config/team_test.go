package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// granting is a config.toml with two teams, one of them trusted.
const granting = `[audience.gateway]
token_env = "GATEWAY"
[audience.vault]
token_env = "VAULT"
[[rule]]
prefix = "https://own.example/"
audience = "vault"
[[rule]]
prefix = "https://shared.example/a/own/"
audience = "vault"
methods = ["GET"]
[team.alpha]
prefixes = ["https://shared.example/a/", "https://alpha.example/"]
audiences = ["gateway"]
[team.beta]
prefixes = ["https://shared.example/b/"]
audiences = ["vault"]
trusted = true
`

// outcome is what the rules decide: the name of the live rule, "off TEAM", or
// "-" where the request would go out as it is.
func outcome(t *testing.T, c *Config, authority, method, path string) string {
	t.Helper()
	table, index, err := c.Table()
	if err != nil {
		t.Fatal(err)
	}
	v := table.Lookup(authority, method, path)
	if v.Rule < 0 {
		return "-"
	}
	rule := c.Rules[index[v.Rule]]
	if rule.Off != "" {
		return "off " + rule.Team
	}
	return strings.TrimPrefix(rule.Team+" "+rule.Name, " ")
}

func TestTeamFilesAddTheirRules(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{
		"config.toml":          granting,
		"rules.d/1-alpha.toml": "team = \"alpha\"\n[[rule]]\nprefix = \"https://shared.example/a/x/\"\naudience = \"gateway\"\nheaders = { X-A = \"b\" }",
		"rules.d/2-alpha.toml": "team = \"alpha\"\n[[rule]]\nprefix = \"https://alpha.example/\"\naudience = \"gateway\"",
		"rules.d/beta.toml": "team = \"beta\"\n[audience.own]\ntoken_file = \"token\"\n[[rule]]\nprefix = \"https://shared.example/b/\"\n" +
			"audience = \"own\"\nheaders = { X-A = { file = \"key\" } }\n[[rule]]\nprefix = \"https://shared.example/b/v/\"\naudience = \"vault\"",
	})
	wantProblems(t, problems)
	for _, tt := range []struct{ authority, path, want string }{
		{"own.example:443", "/", "http-1"},
		{"shared.example:443", "/a/x/1", "alpha http-1"},
		{"shared.example:443", "/a/y", "-"},
		{"alpha.example:443", "/", "alpha http-1"},
		{"shared.example:443", "/b/", "beta http-1"},
		{"shared.example:443", "/b/v/", "beta http-2"},
	} {
		if got := outcome(t, c, tt.authority, "GET", tt.path); got != tt.want {
			t.Errorf("%s%s: %s, want %s", tt.authority, tt.path, got, tt.want)
		}
	}
	own := c.Audiences[2]
	if own.Name != "own" || own.Team != "beta" || own.TokenFile != filepath.Join(filepath.Dir(c.File), "rules.d", "token") {
		t.Errorf("audience of the team file = %+v", own)
	}
	if len(c.Teams[0].Files) != 2 || c.Teams[0].Broken {
		t.Errorf("team = %+v", c.Teams[0])
	}
}

func TestAudiencesOfTwoTrustedFilesAreTwo(t *testing.T) {
	t.Parallel()
	file := func(team string) string {
		return "team = \"" + team + "\"\n[audience.own]\ntoken_env = \"" + team + "\"\n[[rule]]\nprefix = \"https://" + team + ".example/\"\naudience = \"own\""
	}
	c, problems := load(t, map[string]string{
		"config.toml":     "[team.a]\nprefixes = [\"https://a.example/\"]\ntrusted = true\n[team.b]\nprefixes = [\"https://b.example/\"]\ntrusted = true",
		"rules.d/a.toml":  file("a"),
		"rules.d/b.toml":  file("b"),
		"rules.d/.b.toml": "an editor's copy",
	})
	wantProblems(t, problems)
	a, b := c.Rules[0].Audience, c.Rules[1].Audience
	if a == b || a.TokenEnv != "a" || b.TokenEnv != "b" {
		t.Errorf("audiences = %+v, %+v", a, b)
	}
}

func TestTeamFileIsConfinedToItsGrant(t *testing.T) {
	t.Parallel()
	const rule = "[[rule]]\nprefix = \"https://alpha.example/\"\naudience = \"gateway\"\n"
	for name, tt := range map[string]struct{ text, want string }{
		"foreign prefix":            {strings.Replace(rule, "alpha", "evil", 1), "alpha.toml:3: |prefix https://evil.example/ is not granted to team alpha"},
		"own prefix of config.toml": {strings.Replace(rule, "alpha", "own", 1), "alpha.toml:3: |is not granted"},
		"another port":              {strings.Replace(rule, ".example", ".example:8443", 1), "alpha.toml:3: |is not granted"},
		"subdomain":                 {strings.Replace(rule, "alpha", "x.alpha", 1), "alpha.toml:3: |is not granted"},
		"shorter prefix":            {strings.Replace(rule, "alpha.example/", "shared.example/", 1), "alpha.toml:3: |is not granted"},
		"name begins alike":         {strings.Replace(rule, "alpha.example/", "shared.example/ab/", 1), "alpha.toml:3: |is not granted"},
		"under another's grant":     {strings.Replace(rule, "alpha.example/", "shared.example/b/long/", 1), "alpha.toml:3: |is not granted"},
		"one of several prefixes":   {"[[rule]]\nprefixes = [\"https://alpha.example/\",\n\"https://evil.example/\"]\naudience = \"gateway\"", "alpha.toml:4: |is not granted"},
		"prefix of config's rule":   {strings.Replace(rule, "alpha.example/", "shared.example/a/own", 1) + "methods = [\"POST\"]", "alpha.toml:2: |is taken by rule http-2 at "},
		"foreign audience":          {strings.Replace(rule, "gateway", "vault", 1), "alpha.toml:4: |audience \"vault\" is not granted to team alpha"},
		"absent audience":           {strings.Replace(rule, "gateway", "gatewy", 1), "alpha.toml:4: |is not granted to team alpha: did you mean \"gateway\"?"},
		"defines an audience":       {"[audience.x]\ntoken_env = \"X\"\n" + rule, "alpha.toml:2: |audience: only the file of a trusted team may say where tokens come from"},
		"token_command":             {"token_command = [\"sh\"]\n" + rule, "alpha.toml:2: |token_command: only the file of a trusted team"},
		"token_file in a rule":      {rule + "token_file = \"/etc/shadow\"", "alpha.toml:5: |unknown key \"token_file\""},
		"header from a variable":    {rule + "headers = { X-A = { env = \"HOME\" } }", "alpha.toml:5: |only a trusted team's file may say so"},
		"header from a file":        {rule + "headers = { X-A = { file = \"/etc/shadow\" } }", "alpha.toml:5: |only a trusted team's file may say so"},
		"a setting":                 {"listen = \":1\"\n" + rule, "alpha.toml:2: |listen belongs in config.toml"},
		"a grant of its own":        {"[team.alpha]\nprefixes = [\"https://evil.example/\"]", "alpha.toml:2: |key 'team' "},
		"unknown key":               {"rules = 1\n" + rule, "alpha.toml:2: |unknown key \"rules\": did you mean \"rule\"?"},
		"unknown key in rule":       {rule + "prefx = 1", "alpha.toml:5: |did you mean \"prefix\"?"},
		"not TOML":                  {rule + "oops", "alpha.toml:5: |expected '='"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, problems := load(t, map[string]string{"config.toml": granting, "rules.d/alpha.toml": "team = \"alpha\"\n" + tt.text})
			wantProblems(t, problems, tt.want)
			for path, want := range map[string]string{"/a/x": "off alpha", "/b/": "-"} {
				if got := outcome(t, c, "shared.example:443", "GET", path); got != want {
					t.Errorf("%s: %s, want %s", path, got, want)
				}
			}
			if !c.Teams[0].Broken || c.Teams[1].Broken {
				t.Errorf("broken: alpha %v, beta %v", c.Teams[0].Broken, c.Teams[1].Broken)
			}
		})
	}
}

func TestBrokenTeamFileTurnsOffItsTeamAndNothingElse(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{
		"config.toml":       granting,
		"rules.d/a1.toml":   "team = \"alpha\"\n[[rule]]\nprefix = \"https://alpha.example/x/\"\naudience = \"gateway\"",
		"rules.d/a2.toml":   "[[rule]\nteam = 'alpha'",
		"rules.d/beta.toml": "team = \"beta\"\n[[rule]]\nprefix = \"https://shared.example/b/\"\naudience = \"vault\"",
	})
	wantProblems(t, problems, "a2.toml:1: |")
	for _, tt := range []struct{ authority, method, path, want string }{
		{"own.example:443", "GET", "/", "http-1"},
		{"shared.example:443", "GET", "/a/own/", "http-2"},
		{"shared.example:443", "GET", "/b/", "beta http-1"},
		{"alpha.example:443", "GET", "/x/", "off alpha"},
		{"alpha.example:443", "GET", "/", "off alpha"},
		{"shared.example:443", "DELETE", "/a/", "off alpha"},
		{"shared.example:443", "GET", "/", "-"},
	} {
		if got := outcome(t, c, tt.authority, tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s%s: %s, want %s", tt.method, tt.authority, tt.path, got, tt.want)
		}
	}
	if off := c.Rules[len(c.Rules)-1].Off; !strings.Contains(off, "a2.toml:1: ") {
		t.Errorf("the refusal does not say where it is broken: %q", off)
	}
}

func TestBrokenTrustedFileTakesItsAudiencesAlong(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{
		"config.toml":       "include = [\"rules.d/*.toml\", \"beta/*.toml\"]\n" + granting,
		"rules.d/beta.toml": "team = \"beta\"\n[audience.own]\ntoken_env = \"X\"",
		"beta/b2.toml":      "team = \"beta\"\n[audience.vault]\ntoken_env = \"X\"",
	})
	wantProblems(t, problems, "b2.toml:2: |audience vault is granted to team beta already, from ")
	if len(c.Audiences) != 2 || !c.Teams[1].Broken {
		t.Errorf("audiences = %d, broken = %v", len(c.Audiences), c.Teams[1].Broken)
	}
}

// Where nobody can tell whose rules are missing, no grant lets a request pass
// without its token; the rules that are there live on.
func TestFileOfAnUnknownTeamLeavesNoGrantOpen(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want, alpha, beta string }{
		"nobody's":      {"[[rule]]\nprefix = \"https://alpha.example/\"", "x.toml:1: |a team file says whose it is", "off alpha", "off beta"},
		"not TOML":      {"\xff\xfe", "x.toml:1: |", "off alpha", "off beta"},
		"wrong type":    {"team = 1", "x.toml:1: |team must be a string", "off alpha", "off beta"},
		"too large":     {strings.Repeat("#", maxFile+1), "x.toml:1: |team file is larger than 1024 KiB", "off alpha", "off beta"},
		"below a rule":  {"[[rule]]\nteam = \"beta\"", "x.toml:1: |a team file says whose it is", "-", "off beta"},
		"misspelt":      {"team = \"bata\"", "x.toml:1: |did you mean \"beta\"?", "-", "off beta"},
		"without grant": {"team = \"zeppelin\"\n[[rule]]", "x.toml:1: |team \"zeppelin\" has no grant, [team.NAME], in ", "-", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, problems := load(t, map[string]string{
				"config.toml":    granting,
				"rules.d/a.toml": "team = \"alpha\"\n[[rule]]\nprefix = \"https://alpha.example/x/\"\naudience = \"gateway\"",
				"rules.d/x.toml": tt.text,
			})
			wantProblems(t, problems, tt.want)
			for _, q := range []struct{ authority, path, want string }{
				{"alpha.example:443", "/x/", "alpha http-1"},
				{"alpha.example:443", "/", tt.alpha},
				{"shared.example:443", "/b/", tt.beta},
				{"own.example:443", "/", "http-1"},
			} {
				if got := outcome(t, c, q.authority, "GET", q.path); got != q.want {
					t.Errorf("%s%s: %s, want %s", q.authority, q.path, got, q.want)
				}
			}
		})
	}
}

func TestFilesOfATeamShareItsNames(t *testing.T) {
	t.Parallel()
	file := func(name, path string) string {
		return "team = \"alpha\"\n[[rule]]\naudience = \"gateway\"\nprefix = \"https://alpha.example/" + path + "\"\n" + name
	}
	_, problems := load(t, map[string]string{
		"config.toml": granting, "rules.d/1.toml": file("name = \"n\"", "1"), "rules.d/2.toml": file("name = \"n\"", "2"), "rules.d/3.toml": file("", "3"),
		"rules.d/4.toml": file("", "4"), "rules.d/5.toml": file("", "1"),
	})
	wantProblems(t, problems, "2.toml:2: |the name n is taken by the rule at ", "5.toml:2: |prefix https://alpha.example/1/ is taken by rule n at ")
}

func TestErrorBehindManyWarningsStillCounts(t *testing.T) {
	t.Parallel()
	rules := strings.Builder{}
	for i := range 2 * maxTeamProblems {
		fmt.Fprintf(&rules, "[[rule]]\nprefix = \"https://alpha.example/%d\"\naudience = \"gateway\"\nkind = \"mcp\"\nrecover = \"off\"\n", i)
	}
	c, _ := load(t, map[string]string{"config.toml": granting, "rules.d/a.toml": "team = \"alpha\"\n" + rules.String()})
	if got := outcome(t, c, "alpha.example:443", "GET", "/1"); got != "alpha mcp-2" {
		t.Errorf("warnings alone: %s", got)
	}
	c, _ = load(t, map[string]string{"config.toml": granting, "rules.d/a.toml": "team = \"alpha\"\n" + rules.String() + "oops = 1"})
	if got := outcome(t, c, "alpha.example:443", "GET", "/1"); got != "off alpha" {
		t.Errorf("with an error at the end: %s", got)
	}
}

func TestGrantsAreRequired(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": "", "rules.d/x.toml": "team = \"x\"\n[[rule]]\nprefix = \"https://a.example/\""})
	wantProblems(t, problems, "x.toml:1: |team \"x\" has no grant")
	if c == nil || len(c.Rules) != 0 {
		t.Errorf("config = %+v", c)
	}
}

func TestIncludeFollowsItsPatternsOnly(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "odd [dir]*")
	for name, text := range map[string]string{
		"config.toml":  "include = [\"teams/*.toml\", \"teams/a.toml\"]\n[team.a]\nprefixes = [\"https://a.example/\"]",
		"teams/a.toml": `team = "a"`, "teams/b.txt": "no", "teams/.c.toml": "no", "rules.d/d.toml": "no",
	} {
		writeFile(t, filepath.Join(root, name), text)
	}
	c, problems := Load(filepath.Join(root, "config.toml"))
	wantProblems(t, problems)
	if len(c.Teams[0].Files) != 1 {
		t.Errorf("files = %v", c.Teams[0].Files)
	}
	if err := os.Remove(filepath.Join(root, "teams", "a.toml")); err != nil {
		t.Fatal(err)
	}
	_, problems = Load(filepath.Join(root, "config.toml"))
	wantProblems(t, problems, "config.toml:1: warning: |\"teams/a.toml\" does not exist")
}

// Whoever may write to one included file can write any team's name into it.
func TestTeamFileThatClaimsToBeAnothersIsRefused(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{
		"config.toml":        granting,
		"rules.d/alpha.toml": "team = \"beta\"\n[audience.own]\ntoken_command = [\"sh\", \"-c\", \"id\"]\n[[rule]]\nprefix = \"https://shared.example/b/x/\"\naudience = \"own\"",
		"rules.d/beta.toml":  "team = \"beta\"\n[[rule]]\nprefix = \"https://shared.example/b/\"\naudience = \"vault\"",
		"rules.d/other.toml": "team = \"beta\"\n[audience.more]\ntoken_command = [\"sh\"]",
	})
	wantProblems(t, problems,
		"alpha.toml:1: |is named after team alpha, and says that it is of team beta",
		"other.toml:1: |team beta is trusted, and this file does not bear its name")
	for _, a := range c.Audiences {
		if a.TokenCommand != nil {
			t.Errorf("audience %s of a foreign file is there", a.Name)
		}
	}
	if c.Teams[1].Broken {
		t.Error("foreign files turned the team off")
	}
	for path, want := range map[string]string{"/b/": "beta http-1", "/b/x/": "beta http-1"} {
		if got := outcome(t, c, "shared.example:443", "GET", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
