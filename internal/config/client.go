package config

import (
	"slices"
	"strconv"
	"strings"
)

// Client is a named client, the table [access.client.NAME].
type Client struct {
	Name      string
	Pos       Position
	TokenFile string   // absolute
	Rules     []string // what it may use: NAME, or TEAM/NAME for a rule of a team file
}

// May reports whether the client may use r.
func (c Client) May(r Rule) bool {
	name := r.Name
	if r.Team != "" {
		name = r.Team + "/" + r.Name
	}
	return r.Name != "" && slices.Contains(c.Rules, name)
}

// access reads who may use the port.
func (c *Config) access(t *table) {
	c.Access.Mode = t.enum("mode", "auto", "credential", "open")
	for _, client := range t.named("client") {
		named := Client{Name: client.leaf(), Pos: client.at()}
		named.TokenFile = client.file("token_file")
		named.Rules = client.filled("rules")
		for _, key := range []string{"token_file", "rules"} {
			if !client.has(key) {
				client.errorf(client.at(), "%s has no %s", client.title, key)
			}
		}
		if named.Name == "injectproxy" {
			client.errorf(client.at(), "%s: that is the user of those who show the credential", client.title).hint("give the client another name")
		}
		client.done()
		c.Access.Clients = append(c.Access.Clients, named)
	}
	t.done()
}

// clientRules reports what the clients may use and is not there. A rule of a
// team may be missing because its file is broken, which must stop nobody else.
func (c *Config) clientRules(d *document) {
	var own []string
	for _, r := range c.Rules {
		own = append(own, r.Name)
	}
	for _, client := range c.Access.Clients {
		for i, name := range client.Rules {
			at := d.pos.of("access", "client", client.Name, "rules", strconv.Itoa(i))
			team, _, ofTeam := strings.Cut(name, "/")
			switch {
			case ofTeam && c.team(team) == nil:
				d.errorf(at, "there is no team %s%s", show(team), didYouMean(team, c.teamNames()))
			case !ofTeam && !slices.Contains(own, name):
				d.errorf(at, "there is no rule %s%s", show(name), didYouMean(name, own)).hint("a rule of a team file is TEAM/NAME")
			}
		}
	}
}

// clientTeamRules warns of rules of teams that the clients may use and that are
// not there.
func (c *Config) clientTeamRules(d *document) {
	for _, client := range c.Access.Clients {
		for i, name := range client.Rules {
			of := Client{Rules: []string{name}}
			team, _, ofTeam := strings.Cut(name, "/")
			if ofTeam && c.team(team) != nil && !slices.ContainsFunc(c.Rules, of.May) {
				d.warnf(d.pos.of("access", "client", client.Name, "rules", strconv.Itoa(i)), "there is no rule %s now", show(name))
			}
		}
	}
}
