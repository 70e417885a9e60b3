package config

import "testing"

func TestMistakesInNamedClientsAreTold(t *testing.T) {
	t.Parallel()
	const rest = `
[audience.a]
scope = "https://x/.default"
[[rule]]
name = "api"
prefix = "https://a.example/"
audience = "a"
[team.t]
prefixes = ["https://t.example/"]
`
	for _, tt := range []struct{ client, want string }{
		{`token_file = "x"` + "\n" + `rules = ["api"]`, ""},
		{`token_file = "x"` + "\n" + `rules = ["apy"]`, `config.toml:3: |there is no rule "apy": did you mean "api"?`},
		{`token_file = "x"` + "\n" + `rules = ["u/api"]`, `config.toml:3: |there is no team "u"`},
		{`token_file = "x"` + "\n" + `rules = ["t/api"]`, `config.toml:3: warning: |there is no rule "t/api" now`},
		{`token_file = "x"`, "config.toml:1: |[access.client.x] has no rules"},
		{`rules = ["api"]`, "config.toml:1: |[access.client.x] has no token_file"},
	} {
		_, problems := load(t, map[string]string{"config.toml": "[access.client.x]\n" + tt.client + rest})
		if tt.want == "" {
			wantProblems(t, problems)
			continue
		}
		wantProblems(t, problems, tt.want)
	}
	_, problems := load(t, map[string]string{"config.toml": "[access.client.injectproxy]\ntoken_file = \"x\"\nrules = [\"api\"]" + rest})
	wantProblems(t, problems, "config.toml:1: |the user of those who show the credential")
}
