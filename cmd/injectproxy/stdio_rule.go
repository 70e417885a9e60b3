package main

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
)

// covered sees to it that there is a live rule by which messages are sent to the
// server, and that nothing is sent there without its token: a rule that keeps what
// stands in the header of the token would keep what the user has put there. Nor is
// a client told of a lost session that it could begin anew: it sees no status.
func (s *stdioSetting) covered() error {
	for i := range s.cfg.Rules {
		s.cfg.Rules[i].Existing = "replace"
		if s.cfg.Rules[i].Recover == "normalise" {
			s.cfg.Rules[i].Recover = "heal"
		}
	}
	rule, err := s.rule(http.MethodPost)
	if err == nil {
		s.audience = rule.Audience
	}
	return err
}

// taken returns why a header may not be added to the requests, "" if it may. The
// stream and the end of a session may be under rules of their own.
func (s *stdioSetting) taken(name string) string {
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		if rule, err := s.rule(method); err == nil {
			if problem := takenBy(rule, name); problem != "" {
				return problem
			}
		}
	}
	return ""
}

// rule returns the rule by which requests of a method are sent to the server. It
// has to be there and live.
func (s *stdioSetting) rule(method string) (config.Rule, error) {
	fail := func(problem, hint string) (config.Rule, error) {
		return config.Rule{}, &failure{status: exitUsage, err: errors.New(problem), hint: hint}
	}
	table, index, err := s.cfg.Table()
	if err != nil {
		return config.Rule{}, err
	}
	switch v := table.Lookup(s.authority, method, s.url.EscapedPath()); v.Reason {
	case match.Matched:
		rule := s.cfg.Rules[index[v.Rule]]
		if rule.Off != "" {
			problem := rule.Off
			if rule.Name != "" {
				problem = "rule " + rule.Name + " is off: " + problem
			}
			return fail(problem, cmp.Or(rule.Remedy, "injectproxy check names each problem with file and line"))
		}
		return rule, nil
	case match.NoMethod:
		return fail("the rule that covers the URL is not for POST, by which messages are sent", "add POST to its methods")
	case match.NoAuthority, match.NoPrefix:
		return fail("no rule covers the URL, so that it would get no token",
			"add a rule for it to "+s.cfg.File+", or say what the token is: --audience, --client-id, --resource, --scope or --token-env")
	default:
		return fail("the URL gets no token: "+v.Reason.String(), "write its path plainly")
	}
}
