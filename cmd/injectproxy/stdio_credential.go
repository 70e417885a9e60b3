package main

import "slices"

// stdioCredential is what the command line or the environment says about the
// token. The zero stdioCredential leaves it to the rules.
type stdioCredential struct {
	key, value string // a key of an audience, or "audience" and its name
	from       string // the flag or variable
	tenant     string
	tenantFrom string
}

// credential returns what flags and, where they are silent, the environment
// say about the token.
func (o stdioOptions) credential(env lookup) (c stdioCredential, err error) {
	for _, flag := range []struct{ name, key, value string }{
		{"audience", "audience", o.audience}, {"client-id", "client_id", o.clientID}, {"resource", "resource", o.resource},
		{"scope", "scope", o.scope}, {"token-env", "token_env", o.tokenEnv},
	} {
		switch {
		case !o.given(flag.name):
			continue
		case flag.value == "":
			return c, usageError("--%s is empty", flag.name)
		case c.key != "":
			return c, usageError("%s and --%s say both what the token is: it wants one", c.from, flag.name)
		}
		c.key, c.value, c.from = flag.key, flag.value, "--"+flag.name
	}
	if c.key == "" {
		if token := env.text(entraToken); token != "" {
			c.key, c.value, c.from = "token_env", entraToken, entraToken
		} else if target := env.text(entraTarget); target != "" {
			c.key, c.value, c.from = resourceKind(target), target, entraTarget
		}
	}
	return c, o.tenantOf(&c, env)
}

// tenantOf adds the tenant to c. That of the environment goes with what takes
// one, that of a flag is an error with anything else.
func (o stdioOptions) tenantOf(c *stdioCredential, env lookup) error {
	takesOne := slices.Contains([]string{"client_id", "resource", "scope"}, c.key)
	switch {
	case !o.given("tenant"):
		if takesOne {
			c.tenant, c.tenantFrom = env.text(entraTenant), entraTenant
		}
	case o.tenant == "":
		return usageError("--tenant is empty")
	case !takesOne:
		return usageError("--tenant goes with --client-id, --resource or --scope")
	default:
		c.tenant, c.tenantFrom = o.tenant, "--tenant"
	}
	return nil
}

func entraTokenWins(c stdioCredential, env lookup) bool {
	return c.from == entraToken && env.text(entraTarget) != ""
}
