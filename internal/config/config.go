// Package config reads config.toml and the team files it includes, and turns
// them into validated values that remember where they stood.
//
// It reports every problem of every file at once, each with its file and
// line, and never shows a value that could be a secret. It refuses what it
// cannot make safe: a config.toml with an error yields no [Config] at all, and
// a team file with an error loses all rules of its team, whose granted
// prefixes then answer 502. It opens no connection and asks for no token.
package config

import (
	"net/url"
	"time"

	"github.com/injectproxy/injectproxy/internal/match"
)

// Config is a valid configuration. Every field has its default where the file
// is silent. A Config is not changed after [Load], except by
// [Config.OverrideListen], and may be read concurrently.
type Config struct {
	File   string // config.toml, absolute
	Listen string // host:port
	Drain  time.Duration

	// Include are the patterns of the team files' names, absolute.
	Include []string

	Upstream Upstream

	Access struct {
		Mode    string   // "auto", "credential" or "open"
		Clients []Client // in file order
	}

	Tunnel struct {
		Allow string // "all" or "rules"
	}

	Admin Admin

	CA struct {
		Permit []string // as written; see [Config.Permitted]
	}

	Token struct {
		RefreshMargin time.Duration
		Timeout       time.Duration
		Login         string // "off", "notify" or "auto"
	}

	Entra struct {
		AzPath                   string
		AuthorityHost            string // "" for the public cloud
		DisableInstanceDiscovery bool
	}

	Retry struct {
		BodyLimit int64 // bytes
		Memory    int64 // bytes
	}

	Session struct {
		Light, Hard, Cooldown time.Duration // Hard 0: never
		Ping                  bool
	}

	Log Log

	// Audiences are those of config.toml in file order, then those of trusted
	// team files.
	Audiences []*Audience

	// Rules are those of config.toml in file order, then those of the team
	// files, sorted by file name, then one per granted prefix that has to be
	// refused because a team file is broken. See [Rule.Off].
	Rules []Rule

	// Teams are the grants, in file order.
	Teams []Team

	tunnelSet bool // tunnel.allow was written, so the listen address does not decide
}

// Upstream says how servers are reached.
type Upstream struct {
	Proxy   string   // "env", "direct" or "url"
	URL     *url.URL // with "url"; it may hold a password
	NoProxy []string // with "url": hosts reached directly, in the syntax of NO_PROXY
	CA      []string // PEM files, absolute
}

// Admin says where the status is served, and to whom.
type Admin struct {
	Listen    string // host:port, "" for none
	TokenFile string // absolute, "" for none
}

// Log says what is written down, and where.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "text" or "json"
	Audit  string // absolute, "" for none
}

// Position is a place in a file. Line and Column count from 1; 0 means that
// there is none to name.
type Position struct {
	File         string
	Line, Column int
}

// Audience is whom a token is for and where it comes from: exactly one of
// ClientID, Resource, Scope, TokenEnv, TokenFile and TokenCommand is set.
// Audiences are told apart by pointer: two trusted team files may use one name
// for two audiences.
type Audience struct {
	Name string
	Team string // of the trusted team file that defines it, "" for config.toml
	Pos  Position

	ClientID, Resource, Scope string
	Tenant                    string // with the three above, or ""

	TokenEnv     string   // name of an environment variable
	TokenFile    string   // absolute
	TokenCommand []string // a program given by a relative path has been made absolute

	Sources  []string // nil: the default
	Identity string   // "any" or "user"
}

// Rule is one [[rule]].
type Rule struct {
	Name string // unique within its file
	Kind string // "mcp", "llm", "share" or "http"
	Team string // "" for config.toml
	Pos  Position

	Prefixes []match.Prefix
	Methods  []string // nil: all
	Audience *Audience

	Header   string // carries the token
	Scheme   string // stands before the token; "" for the bare token
	Existing string // "replace" or "keep"
	Strip    []string
	Headers  []Header
	Timeout  time.Duration // for the response's header; 0: none

	Recover      string // "heal", "normalise" or "off"; mcp only
	Unauthorized string // "explain" or "pass"; mcp only

	// Off is why requests under this rule are answered with 502, or "" for a
	// live rule. A rule that stands for the grant of a team whose file is
	// broken has Off, Team, Prefixes and Pos only.
	Off string

	// Remedy is what to do about Off, "" if [Load] has reported it as a problem.
	Remedy string

	named bool // Name was written
}

// Header is a header that a rule sets. Exactly one of Env and File is set, or
// neither for a literal Value. Value may be a secret.
type Header struct {
	Name  string
	Value string
	Env   string // name of an environment variable
	File  string // absolute
}

// Team is the grant of a team, the table [team.NAME].
type Team struct {
	Name      string
	Pos       Position
	Files     []string // its team files, broken ones included
	Prefixes  []match.Prefix
	Audiences []string
	Trusted   bool
	Broken    bool // a file of the team is broken: all its rules are off

	faulty bool // the grant has errors, so that its files cannot be held to it
}
