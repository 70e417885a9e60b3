package config

import "time"

// DefaultAdmin is where the status is served unless admin.listen says
// otherwise.
const DefaultAdmin = "127.0.0.1:8878"

// settings reads the sections of config.toml that stand for themselves.
func (c *Config) settings(top *table) {
	c.File = top.source
	c.Listen = top.address("listen", "127.0.0.1:8877")
	c.Drain = top.duration("drain", 10*time.Second)
	c.Upstream.read(top)

	c.access(top.section("access"))

	tunnel := top.section("tunnel")
	c.Tunnel.Allow = tunnel.enum("allow", "all", "rules")
	c.tunnelSet = tunnel.has("allow")
	c.tunnelDefault()
	tunnel.done()

	c.Admin.read(top.section("admin"), DefaultAdmin)

	ca := top.section("ca")
	c.CA.Permit = ca.permit("permit")
	ca.done()

	c.token(top.section("token"))
	c.entra(top.section("entra"))
	c.retry(top.section("retry"))
	c.session(top.section("session"))
	c.Log.read(top.section("log"))
	if c.Access.Mode == "open" && c.Shared() {
		top.errorf(top.at("access", "mode"), "access.mode is \"open\": whoever reaches %s could use every token", c.Listen).
			hint(`mode = "credential", or a listen address on this machine`)
	}
	if c.Admin.Listen != "" && shared(c.Admin.Listen) && c.Access.Mode != "credential" {
		top.errorf(top.at("admin", "listen"), "admin.listen is %s, which other machines can reach", c.Admin.Listen).
			hint(`an address on this machine, or mode = "credential" in [access]`)
	}
	if c.lendsIdentity() {
		top.errorf(top.at("token", "login"), "token.login is \"auto\": whoever signs in at the request of one client would lend every client of %s an identity", c.Listen).
			hint(`login = "notify", or a listen address on this machine`)
	}
}

func (c *Config) token(t *table) {
	c.Token.RefreshMargin = t.duration("refresh_margin", 5*time.Minute)
	c.Token.Timeout = t.positive("timeout", 45*time.Second)
	c.Token.Login = t.enum("login", "notify", "off", "auto")
	t.done()
}

func (c *Config) entra(t *table) {
	c.Entra.AzPath = t.optionalFile("az_path")
	c.Entra.AuthorityHost = t.origin("authority_host")
	c.Entra.DisableInstanceDiscovery = t.boolean("disable_instance_discovery")
	t.done()
}

func (c *Config) retry(t *table) {
	c.Retry.BodyLimit = t.size("body_limit", 8<<20)
	c.Retry.Memory = t.size("memory", 256<<20)
	if c.Retry.BodyLimit > c.Retry.Memory {
		t.warnf(t.at("body_limit"), "retry.body_limit is larger than retry.memory: no body over %d bytes is ever retried", c.Retry.Memory)
	}
	t.done()
}

func (c *Config) session(t *table) {
	c.Session.Light = t.positive("light", time.Minute)
	c.Session.Hard = t.duration("hard", 0)
	c.Session.Ping = t.boolean("ping")
	c.Session.Cooldown = t.duration("cooldown", 5*time.Second)
	t.done()
}

// read reads where the status is served: at absent if the file does not say.
func (a *Admin) read(t *table, absent string) {
	if a.Listen = absent; t.keys["listen"] != "" {
		a.Listen = t.address("listen", a.Listen)
	} else {
		a.Listen = t.str("listen", "")
	}
	a.TokenFile = t.optionalFile("token_file")
	t.done()
}

func (l *Log) read(t *table) {
	l.Level = t.enum("level", "info", "debug", "warn", "error")
	l.Format = t.enum("format", "text", "json")
	l.Audit = t.optionalFile("audit")
	t.done()
}
