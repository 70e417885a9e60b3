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
	if r.URL = t.redisURL("url"); r.URL != "" {
		r.Pos = t.at("url")
	}
	r.PasswordFile, _ = t.optionalWord("password_file")
	if r.PasswordFile != "" && t.keys["url"] == nil {
		t.warnf(t.at("password_file"), "redis.password_file has no effect without redis.url")
	}
	if u, err := url.Parse(r.URL); err == nil && u.User.Username() != "" && r.PasswordFile == "" {
		t.warnf(r.Pos, "redis.url has a user, and there is no password_file").
			hint("if what stands before @ is a password, put it into a file of its own, which password_file names")
	}
	t.done()
}

// ownServers warns where gates on several machines share their sessions, and a route
// leads each of them to its own machine: the one's sessions are taken for the other's.
func (g *Gate) ownServers(top *table) {
	u, err := url.Parse(g.Redis.URL)
	if err != nil || g.Redis.URL == "" || isLoopback(u.Hostname()) {
		return // who has Redis on their machine has all gates there
	}
	for _, r := range g.Routes {
		for _, u := range r.Upstreams {
			if isLoopback(u.Hostname()) {
				top.warnf(g.Redis.Pos, "redis.url: gates elsewhere share these sessions, and route %s leads each to a server of its own, %s://%s: sessions begun at one fail at the others", r.Path, u.Scheme, u.Host).
					hint("an upstream that all gates reach by the same name; or no [redis], and clients that come back to their gate")
				return
			}
		}
	}
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
