package config

import (
	"fmt"
	"strings"
	"testing"
)

// good is a configuration that the tests below add one mistake to.
const good = `[audience.a]
token_env = "A"
[[rule]]
prefix = "https://a.example/x/"
audience = "a"
`

func TestEachMistakeIsReportedWithItsLine(t *testing.T) {
	t.Parallel()
	rule := func(s string) string { return good + s } // line 6 is the rule's next
	audience := func(s string) string { return "[audience.b]\n" + s }
	const guid = "58348f96-645d-4a2e-8c1d-000000000000"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":            {"lisen = \"x\"", []string{`config.toml:1: |unknown key "lisen": did you mean "listen"?`}},
		"unknown key, far":       {"frobnicate = 1", []string{`config.toml:1: |unknown key "frobnicate"`}},
		"unknown section":        {"\n[tokens]", []string{`config.toml:2: |unknown key "tokens": did you mean "token"?`}},
		"unknown in section":     {"[token]\ntimout = \"1s\"", []string{`config.toml:2: |unknown key "timout" in [token]: did you mean "timeout"?`}},
		"unknown in rule":        {rule("prefx = 1"), []string{`config.toml:6: |unknown key "prefx" in [[rule]]: did you mean "prefix"?`}},
		"unknown in inline":      {"token = { timout = \"1s\" }", []string{`config.toml:1: |did you mean "timeout"?`}},
		"wrong type":             {"drain = 10", []string{`config.toml:1: |drain must be a duration in quotes, such as "30s", not an integer`}},
		"wrong type of section":  {"token = 1", []string{`config.toml:1: |token must be a table, [token], not an integer`}},
		"wrong type of rule":     {"rule = 1", []string{`config.toml:1: |rule must be [[rule]], not an integer`}},
		"rule as a table":        {"[rule]\nprefix = \"x\"", []string{`config.toml:1: |rule must be [[rule]], not a table`}},
		"rule as strings":        {"rule = [\"x\"]", []string{`config.toml:1: |rule must hold tables, not a string`}},
		"wrong type of element":  {"no_proxy = [\n1\n]", []string{`config.toml:2: |no_proxy must hold strings, not an integer`}},
		"list as string":         {"include = \"x\"", []string{`config.toml:1: |include must be an array of strings, not a string`}},
		"bool as string":         {"[entra]\ndisable_instance_discovery = \"no\"", []string{`config.toml:2: |must be true or false, not a string`}},
		"audience as string":     {"audience.x = 1", []string{`config.toml:1: |audience.x must be a table, [audience.NAME], not an integer`}},
		"date":                   {"drain = 2020-01-01", []string{`config.toml:1: |not a date`}},
		"float":                  {"drain = 1.5", []string{`config.toml:1: |not a float`}},
		"syntax":                 {"listen = \"x\"\nlisten", []string{`config.toml:2: |expected '=' after key`}},
		"missing quotes":         {"listen = hello", []string{`config.toml:1: |`}},
		"duplicate key":          {"drain = \"1s\"\ndrain = \"2s\"", []string{`config.toml:2: |key 'drain' has already been defined`}},
		"duplicate table":        {"[token]\n[log]\n[token]", []string{`config.toml:3: |key 'token' has already been defined`}},
		"duplicate audience":     {good + "[audience.a]", []string{`config.toml:6: |key 'audience.a' has already been defined`}},
		"number too large":       {"drain = 99999999999999999999", []string{`config.toml:1: |the number is out of range`}},
		"no such date":           {"drain = 2026-02-30", []string{`config.toml:1: |there is no such date or time`}},
		"table over a key":       {"token = 1\n[token.x]", []string{`config.toml:2: |`}},
		"not UTF-8":              {"\n# \xff", []string{`config.toml:2: |invalid UTF-8`}},
		"listen":                 {"listen = \"x\"", []string{`config.toml:1: |listen: "x" is not host:port`}},
		"listen port":            {"listen = \"x:99999\"", []string{`config.toml:1: |a port that is not a number`}},
		"listen host":            {"listen = \"a b:1\"", []string{`config.toml:1: |no valid host`}},
		"proxy scheme":           {"upstream_proxy = \"socks5://x\"", []string{`config.toml:1: |must be an http or https URL`}},
		"proxy word":             {"upstream_proxy = \"evn\"", []string{`config.toml:1: |neither "env" nor "direct" nor a URL`}},
		"proxy path":             {"upstream_proxy = \"http://x/y\"", []string{`config.toml:1: |without path`}},
		"proxy host":             {"upstream_proxy = \"http://:1\"", []string{`config.toml:1: |has no host`}},
		"no_proxy":               {"upstream_proxy = \"http://x\"\nno_proxy = [\"a\", \"http://b\"]", []string{`config.toml:2: |"http://b" is not a host`}},
		"no_proxy without URL":   {"no_proxy = [\"a\"]", []string{`config.toml:1: warning: |no_proxy has no effect`}},
		"upstream_ca absent":     {"upstream_ca = [\"none.pem\"]", []string{`config.toml:1: |"none.pem" cannot be read: no such file`}},
		"upstream_ca not PEM":    {"upstream_ca = [\"config.toml\"]", []string{`config.toml:1: |holds no PEM certificate`}},
		"duration":               {"drain = \"10 seconds\"", []string{`config.toml:1: |"10 seconds" is not a duration`}},
		"negative duration":      {"drain = \"-1s\"", []string{`config.toml:1: |drain is negative`}},
		"zero duration":          {"[token]\ntimeout = \"0\"", []string{`config.toml:2: |token.timeout must be longer than 0`}},
		"size":                   {"[retry]\nbody_limit = \"8MB\"", []string{`config.toml:2: |retry.body_limit: "8MB" is not a size`}},
		"negative size":          {"[retry]\nbody_limit = -1", []string{`config.toml:2: |retry.body_limit is negative`}},
		"sizes crossed":          {"[retry]\nmemory = 1", []string{`config.toml:1: warning: |retry.body_limit is larger than retry.memory`}},
		"enum":                   {"[log]\nlevel = \"wran\"", []string{`config.toml:2: |log.level must be "info", "debug", "warn" or "error", not "wran": did you mean "warn"?`}},
		"open and shared":        {"listen = \":1\"\n[access]\nmode = \"open\"", []string{`config.toml:3: |whoever reaches :1 could use every token`}},
		"authority host":         {"[entra]\nauthority_host = \"login.example\"", []string{`config.toml:2: |entra.authority_host is not an https URL with a host only`}},
		"authority host path":    {"[entra]\nauthority_host = \"https://login.example/x\"", []string{`config.toml:2: |with a host only`}},
		"client without rules":   {"[access.client.x]\ntoken_file = \"x\"", []string{`config.toml:1: |[access.client.x] has no rules`}},
		"include pattern":        {"include = [\"[\"]", []string{`config.toml:1: |"[" is not a pattern`}},
		"include absent":         {"include = [\"x.toml\", \"y/*.toml\"]", []string{`config.toml:1: warning: |"x.toml" does not exist`}},
		"include itself":         {"include = [\"*.toml\"]", []string{`config.toml:1: |include names config.toml itself`}},
		"permit wildcard":        {"[ca]\npermit = [\"*.a.example\"]", []string{`config.toml:2: |"*.a.example" has a wildcard or a leading dot [write "a.example"`}},
		"permit everything":      {"[ca]\npermit = [\".\", \"\", \"*\"]", []string{`config.toml:2: |"." names no domain`, `config.toml:2: |"" names no domain`, `config.toml:2: |"*" names no domain`}},
		"permit TLD":             {"[ca]\npermit = [\"com\", \"co.uk\"]", []string{`config.toml:2: |"com" is a public suffix`, `config.toml:2: |"co.uk" is a public suffix`}},
		"permit hosting":         {"[ca]\npermit = [\"github.io\"]", []string{`config.toml:2: warning: |each name belongs to somebody else`}},
		"permit all addresses":   {"[ca]\npermit = [\"0.0.0.0/0\", \"::/0\"]", []string{`config.toml:2: |covers every address`, `config.toml:2: |covers every address`}},
		"permit bits":            {"[ca]\npermit = [\"10.1.1.1/8\"]", []string{`config.toml:2: |bits set beyond its length [write 10.0.0.0/8]`}},
		"permit URL":             {"[ca]\npermit = [\"https://a.example\"]", []string{`config.toml:2: |is not a DNS domain`}},
		"permit multicast":       {"[ca]\npermit = [\"224.0.0.1\", \"ff00::/8\"]", []string{`config.toml:2: |is multicast`, `config.toml:2: |is multicast`}},
		"permit mapped":          {"[ca]\npermit = [\"::ffff:10.0.0.0/104\"]", []string{`config.toml:2: |is a range of IPv4 addresses written as IPv6 [write 10.0.0.0/8]`}},
		"multicast prefix":       {strings.Replace(good, "a.example", "224.0.0.1", 1), []string{`config.toml:4: |is of a multicast address`}},
		"permit port":            {"[ca]\npermit = [\"a.example:443\"]", []string{`config.toml:2: |is not a DNS domain`}},
		"no kind of audience":    {audience(""), []string{`config.toml:1: |[audience.b] has no "client_id", `}},
		"two kinds":              {audience("token_env = \"X\"\nscope = \"https://x/y\""), []string{`config.toml:2: |has both scope and token_env`}},
		"name":                   {"[audience.\"a b\"]\ntoken_env = \"X\"", []string{`config.toml:1: |[audience."a b"]: a name has letters`}},
		"client_id":              {audience("client_id = \"x\""), []string{`config.toml:2: |client_id is not a GUID`}},
		"status for all":         {"[admin]\nlisten = \"0.0.0.0:1\"", []string{`config.toml:2: |which other machines can reach`}},
		"sign-in for all":        {"listen = \"0.0.0.0:1\"\n[token]\nlogin = \"auto\"", []string{`config.toml:3: |lend every client of 0.0.0.0:1 an identity`}},
		"client_id as URI":       {audience("client_id = \"api://" + guid + "\""), []string{`config.toml:2: |client_id is an App ID URI`}},
		"tenant":                 {audience("client_id = \"" + guid + "\"\ntenant = \"x\""), []string{`config.toml:3: |tenant is neither a GUID nor a domain`}},
		"tenant common":          {audience("client_id = \"" + guid + "\"\ntenant = \"common\""), []string{`config.toml:3: |names no single tenant`}},
		"tenant of a file":       {audience("token_env = \"X\"\ntenant = \"" + guid + "\""), []string{`config.toml:3: |tenant goes with client_id, resource or scope, not with token_env`}},
		"scope characters":       {audience("scope = \"https://x/y z\""), []string{`config.toml:2: |scope has a character that the Azure tools refuse`}},
		"resource characters":    {audience("resource = \"--help\""), []string{`config.toml:2: |resource has a character`}},
		"resource empty":         {audience("resource = \"//\""), []string{`config.toml:2: |resource is empty`}},
		"resource as scope":      {audience("resource = \"https://x/.default\""), []string{`config.toml:2: |ends in /.default`}},
		"resource plain":         {audience("resource = \"vault\""), []string{`config.toml:2: warning: |neither a URI`}},
		"scope of nothing":       {audience("scope = \"https://vault.example\""), []string{`config.toml:2: warning: |scope names no permission`}},
		"token_env":              {audience("token_env = \"MY TOKEN\""), []string{`config.toml:2: |token_env is not the name of an environment variable`}},
		"token_file":             {audience("token_file = \"\""), []string{`config.toml:2: |token_file is empty`}},
		"token_command":          {audience("token_command = []"), []string{`config.toml:2: |token_command is empty`}},
		"token_command word":     {audience("token_command = [\"\", \"x\"]"), []string{`config.toml:2: |word 1 cannot be run`}},
		"token_command string":   {audience("token_command = \"vault read\""), []string{`config.toml:2: |must be an array of strings, not a string`}},
		"sources":                {audience("scope = \"https://x/y\"\nsources = [\"az\", \"azdd\", \"az\"]"), []string{`config.toml:3: |"azdd" is not one of`, `config.toml:3: |"az" stands there twice`}},
		"tenant is client":       {audience("client_id = \"" + guid + "\"\ntenant = \"" + guid + "\""), []string{`config.toml:1: warning: |client_id and tenant are the same GUID`}},
		"tenant as resource":     {"[audience.x]\nresource = \"" + guid + "\"\ntenant = \"" + strings.ToUpper(guid) + "\"", []string{`config.toml:1: warning: |resource is the GUID of a tenant`}},
		"tenant as api resource": {"[audience.x]\nresource = \"api://" + guid + "/\"\ntenant = \"" + guid + "\"", []string{`config.toml:1: warning: |resource is the GUID of a tenant`}},
		"tenant as api scope":    {"[audience.x]\nscope = \"api://" + guid + "/.default\"\ntenant = \"" + guid + "\"", []string{`config.toml:1: warning: |scope is of api:// and the GUID of a tenant`}},
		"other tenant as client": {"[audience.x]\nclient_id = \"" + guid + "\"\n[audience.y]\nscope = \"https://x/y\"\ntenant = \"" + guid + "\"", []string{`config.toml:1: warning: |client_id is the GUID of a tenant`}},
		"undefined audience":     {strings.Replace(good, `audience = "a"`, `audience = "aa"`, 1), []string{`config.toml:5: |audience "aa" is not defined: did you mean "a"?`}},
		"rule without audience":  {strings.Replace(good, `audience = "a"`, ``, 1), []string{`config.toml:3: |[[rule]] has no audience`}},
		"rule without prefix":    {strings.Replace(good, `prefix = "https://a.example/x/"`, ``, 1), []string{`config.toml:3: |[[rule]] has no prefix`}},
		"both prefixes":          {rule("prefixes = [\"https://b.example/\"]"), []string{`config.toml:6: |has both prefix and prefixes`}},
		"prefix twice":           {good + "[[rule]]\naudience = \"a\"\nprefixes = [\"https://b.example/\",\n\"https://B.example:443\"]", []string{`config.toml:9: |prefix https://b.example/ stands there twice`}},
		"http prefix":            {strings.Replace(good, "https:", "http:", 1), []string{`config.toml:4: |prefix is not an absolute https URL`}},
		"prefix with query":      {strings.Replace(good, "/x/", "/x/?a", 1), []string{`config.toml:4: |prefix has a query`}},
		"prefix with wildcard":   {strings.Replace(good, "/x/", "/*/", 1), []string{`config.toml:4: |prefix has a wildcard`}},
		"prefix with dots":       {strings.Replace(good, "/x/", "/x/../y", 1), []string{`config.toml:4: |prefix has a dot segment`}},
		"same prefix":            {good + strings.Replace(good[strings.Index(good, "[[rule]]"):], "https://a.example/x/", "https://A.example/x", 1), []string{`config.toml:6: |prefix https://a.example/x/ is taken by rule http-1 at `}},
		"same name":              {rule("name = \"n\"\n[[rule]]\nprefix = \"https://b/\"\naudience = \"a\"\nname = \"n\""), []string{`config.toml:7: |the name n is taken by the rule at `}},
		"default name":           {rule("[[rule]]\nprefix = \"https://b/\"\naudience = \"a\"\nname = \"http-1\""), []string{`config.toml:6: |the name http-1 is taken`}},
		"bad name":               {rule(`name = "a b"`), []string{`config.toml:6: |name: "a b" has other than letters`}},
		"empty name":             {rule(`name = ""`), []string{`config.toml:6: |name: "" has other`}},
		"kind":                   {rule(`kind = "mpc"`), []string{`config.toml:6: |did you mean "mcp"?`}},
		"existing":               {rule(`existing = "kep"`), []string{`config.toml:6: |did you mean "keep"?`}},
		"method case":            {rule(`methods = ["GET", "post"]`), []string{`config.toml:6: |"post" is not in upper case: did you mean "POST"?`}},
		"method token":           {rule(`methods = ["GE T"]`), []string{`config.toml:6: |"GE T" is not a method`}},
		"method TRACE":           {rule(`methods = ["TRACE", "CONNECT"]`), []string{`config.toml:6: |TRACE is never`, `config.toml:6: |CONNECT is never`}},
		"methods empty":          {rule(`methods = []`), []string{`config.toml:6: |methods is empty`}},
		"header":                 {rule(`header = "X Y"`), []string{`config.toml:6: |header: "X Y" is not a header name`}},
		"header empty":           {rule(`header = ""`), []string{`config.toml:6: |is not a header name`}},
		"scheme":                 {rule(`scheme = "Bearer "`), []string{`config.toml:6: |scheme: "Bearer " is not an authentication scheme`}},
		"strip token":            {rule(`strip = ["a:b"]`), []string{`config.toml:6: |strip: "a:b" is not a header name`}},
		"strip what is kept":     {rule("existing = \"keep\"\nstrip = [\"authorization\"]"), []string{`config.toml:7: |strip removes Authorization`}},
		"headers duplicate":      {rule(`headers = { authorization = "x" }`), []string{`config.toml:6: |"authorization" carries the token already`}},
		"headers twice":          {rule(`headers = { X-A = "x", x-a = "y" }`), []string{`config.toml:6: |"x-a" stands there twice`}},
		"headers empty":          {rule(`headers = { X-A = "" }`), []string{`config.toml:6: |the value of "X-A" is empty`}},
		"headers CR":             {rule(`headers = { X-A = "a\rb" }`), []string{`config.toml:6: |not visible ASCII`}},
		"headers LF":             {rule(`headers = { X-A = "a\nb" }`), []string{`config.toml:6: |not visible ASCII`}},
		"headers NUL":            {rule(`headers = { X-A = "a\u0000b" }`), []string{`config.toml:6: |not visible ASCII`}},
		"headers non-ASCII":      {rule(`headers = { X-A = "é" }`), []string{`config.toml:6: |not visible ASCII`}},
		"headers type":           {rule(`headers = { X-A = 1 }`), []string{`config.toml:6: |must be a string, { env = … } or { file = … }, not an integer`}},
		"headers both":           {rule(`headers = { X-A = { env = "A", file = "b" } }`), []string{`config.toml:6: |"X-A" wants env or file`}},
		"headers neither":        {rule("[rule.headers]\nX-A = {}"), []string{`config.toml:7: |"X-A" wants env or file`}},
		"headers env":            {rule(`headers = { X-A = { env = "A-B" } }`), []string{`config.toml:6: |env is not the name of an environment variable`}},
		"headers unknown":        {rule(`headers = { X-A = { evn = "AB" } }`), []string{`config.toml:6: |"X-A" wants env or file`, `config.toml:6: |did you mean "env"?`}},
		"recover on http":        {rule("recover = \"off\""), []string{`config.toml:6: |recover goes with kind = "mcp" only`}},
		"team overlap":           {"[team.a]\nprefixes = [\"https://x/a/\"]\n[team.b]\nprefixes = [\"https://x/a/b\"]", []string{`config.toml:4: |prefix https://x/a/b/ overlaps with https://x/a/, granted to team a at `}},
		"team overlap above":     {"[team.a]\nprefixes = [\"https://x/a/\"]\n[team.b]\nprefixes = [\"https://x/\"]", []string{`config.toml:4: |overlaps`}},
		"team audience":          {good + "[team.t]\nprefixes = [\"https://x/\"]\naudiences = [\"b\"]", []string{`config.toml:8: |audience "b" is not defined`}},
		"team without prefixes":  {"[team.t]", []string{`config.toml:1: |[team.t] has no prefixes`}},
		"team prefixes empty":    {"[team.t]\nprefixes = []", []string{`config.toml:2: |prefixes is empty`}},
		"team key":               {"[team.t]\nprefixes = [\"https://x/\"]\ntrust = true", []string{`config.toml:3: |did you mean "trusted"?`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, problems := load(t, map[string]string{"config.toml": tt.text})
			wantProblems(t, problems, tt.want...)
			unusable := false
			for _, p := range problems {
				unusable = unusable || !p.Warning
			}
			if (c == nil) != unusable {
				t.Errorf("config is nil: %v, has errors: %v", c == nil, unusable)
			}
		})
	}
}

func TestHeadersThatBelongToTheConnectionAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "content-length", "Transfer-Encoding", "CONNECTION", "te", "Upgrade", "Trailer",
		"Proxy-Authorization", "proxy-connection", "PROXY-",
	} {
		for _, line := range []string{`header = "%s"`, `strip = ["%s"]`, `headers = { "%s" = "x" }`} {
			c, problems := load(t, map[string]string{"config.toml": good + fmt.Sprintf(line, name)})
			wantProblems(t, problems, "config.toml:6: |belongs to the connection")
			if c != nil {
				t.Errorf("%s was accepted in %s", name, line)
			}
		}
	}
}

func TestRulesShareAPrefixIfTheyShareNoMethod(t *testing.T) {
	t.Parallel()
	methods := func(first, second string) string {
		return good + first + "\n[[rule]]\nprefix = \"https://a.example/x\"\naudience = \"a\"\n" + second
	}
	for _, tt := range []struct {
		first, second string
		clash         bool
	}{
		{`methods = ["GET"]`, `methods = ["POST", "PUT"]`, false},
		{`methods = ["GET", "PUT"]`, `methods = ["POST", "PUT"]`, true},
		{`methods = ["GET"]`, ``, true},
		{``, `methods = ["GET"]`, true},
		{``, ``, true},
	} {
		_, problems := load(t, map[string]string{"config.toml": methods(tt.first, tt.second)})
		if clash := len(problems) > 0; clash != tt.clash {
			t.Errorf("%q and %q: %v", tt.first, tt.second, lines(problems))
		}
	}
}

func TestAllMistakesComeAtOnce(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": `lisen = "x"
drain = 10
[token]
timeout = "soon"
[log]
level = "loud"
[audience.a]
client_id = "x"
[audience.b]
[[rule]]
prefix = "http://a.example/"
audience = "c"
methods = ["get"]
headers = { Host = "x" }
[[rule]]
audience = "a"
[team.t]
prefixes = ["https://x/?q"]
`, "rules.d/t.toml": `team = "u"`})
	if c != nil {
		t.Error("the configuration was accepted")
	}
	wantProblems(t, problems,
		"config.toml:1: |", "config.toml:2: |", "config.toml:4: |", "config.toml:6: |", "config.toml:8: |", "config.toml:9: |",
		"config.toml:11: |", "config.toml:12: |", "config.toml:13: |", "config.toml:14: |", "config.toml:15: |", "config.toml:18: |",
		"t.toml:1: |")
}

func TestFileThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, problems := Load(dir + "/config.toml")
	wantProblems(t, problems, "config.toml: |cannot be read: no such file")
	if c != nil {
		t.Error("got a configuration from nothing")
	}
	_, problems = Load(dir)
	wantProblems(t, problems, "|is not a regular file")
}
