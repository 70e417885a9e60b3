package config

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// read reads [redis]. Of the URL no message shows more than its host: it is where
// passwords are put.
func (r *GateRedis) read(t *table) {
	t.pasted("password_file", "password")
	r.URL = t.redisURL("url")
	r.PasswordFile, _ = t.optionalWord("password_file")
	if r.PasswordFile != "" && t.keys["url"] == nil {
		t.warnf(t.at("password_file"), "redis.password_file has no effect without redis.url")
	}
	t.done()
}

// optionalWord is word, whose file may be "" for none.
func (t *table) optionalWord(key string) (file, word string) {
	if t.keys[key] == "" {
		return t.optionalFile(key), ""
	}
	return t.word(key)
}

// redisURL reads where Redis is; "" is nowhere.
func (t *table) redisURL(key string) string {
	const example = `such as "rediss://redis.corp.example:6380", or "redis://127.0.0.1:6379/0"`
	s := t.str(key, "")
	if s == "" {
		return ""
	}
	u, problem := parseRedis(s)
	at := t.at(key)
	switch {
	case strings.Contains(problem, "password"):
		t.errorf(at, "redis.url %s", problem).hint("put it into a file of its own, which password_file names")
		return ""
	case problem != "":
		t.errorf(at, "redis.url %s", problem).Hint = example
		return ""
	case u.Scheme == "redis" && !isLoopback(u.Hostname()):
		t.warnf(at, "redis.url: whose sessions there are, and the password, travel in the clear to %s", u.Hostname()).
			hint("rediss://, with upstream_ca for a CA of your own; or a network that nobody else reads")
	}
	return u.String()
}

// parseRedis returns where Redis is, or what is wrong with it in words that show
// nothing of it.
func parseRedis(s string) (u *url.URL, problem string) {
	u, err := url.Parse(s)
	switch {
	case err != nil && strings.Contains(s, "@"):
		return nil, "is not a URL; if there is a password in it, it does not belong there" // which may be what cannot be parsed
	case err != nil || !strings.Contains(s, "://"):
		return nil, "is not a URL"
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, "must be a redis or rediss URL, for Valkey, too"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return nil, "has a query or a fragment"
	}
	if _, has := u.User.Password(); has {
		return nil, "has a password"
	}
	if _, err := match.Authority(u.Host); err != nil {
		return nil, strings.TrimPrefix(err.Error(), "authority ")
	}
	db := strings.TrimPrefix(u.Path, "/")
	if n, err := strconv.ParseUint(db, 10, 16); db != "" && (err != nil || strconv.FormatUint(n, 10) != db) {
		return nil, "has a path that is not the number of a database"
	}
	return u, ""
}
