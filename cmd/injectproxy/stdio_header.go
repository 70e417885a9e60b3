package main

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
)

// field is a header that the user wants added. Its value may be a secret, and is
// in no message.
type field struct {
	name, value string
	from        string // the flag or variable that it stands in
}

// ofProtocol are the headers that the transport itself sets, that would have
// the server answer in a way that it does not read, or net/http send a message
// twice.
var ofProtocol = []string{
	"Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "Expect", "Keep-Alive", "Last-Event-Id",
	"Idempotency-Key", "X-Idempotency-Key",
}

// flagFields reads the values of --header. ${VAR} stands for a variable, so that
// no secret need be on the command line, where other users may read it.
func flagFields(values []string, env lookup) ([]field, error) {
	var list []field
	for _, s := range values {
		name, value, ok := strings.Cut(s, ":")
		if !ok {
			return nil, &failure{status: exitUsage, err: errors.New("--header has no colon"), hint: `write --header "NAME: VALUE"`}
		}
		value, err := expanded(strings.TrimSpace(value), env)
		if err != nil {
			return nil, err
		}
		list = append(list, field{name: strings.TrimSpace(name), value: value, from: "--header"})
	}
	return list, nil
}

var (
	reference    = regexp.MustCompile(`\$\{([^}]*)\}`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// expanded returns s with the variables in place of their names.
func expanded(s string, env lookup) (_ string, err error) {
	out := reference.ReplaceAllStringFunc(s, func(ref string) string {
		name := ref[2 : len(ref)-1]
		if !variableName.MatchString(name) {
			err = usageError("--header: between ${ and } stands what is not the name of an environment variable")
			return ""
		}
		value, _ := env(name)
		if value == "" {
			err = usageError("--header: the environment variable %s is not set", name)
		}
		return strings.TrimSuffix(value, "\n")
	})
	return out, err
}

// header returns the headers, those of later lists in place of those of earlier
// ones. Taken is why the rule does not let a header be added, "" if it does.
func header(taken func(name string) string, lists ...[]field) (http.Header, error) {
	h := http.Header{}
	for _, list := range lists {
		own := map[string]bool{}
		for _, f := range list {
			key := http.CanonicalHeaderKey(f.name)
			problem := badField(key, f.value)
			if problem == "" && own[key] {
				problem = "stands there twice"
			}
			if problem == "" {
				problem = taken(key)
			}
			if problem != "" {
				return nil, &failure{status: exitUsage, err: errors.New(f.from + ": " + shownField(f.name) + problem), hint: fieldHint(key)}
			}
			own[key] = true
			h[key] = []string{f.value}
		}
	}
	return h, nil
}

// shownField is how a message begins that is about a header. A name that is none
// may be a secret that lacks its name.
func shownField(name string) string {
	if config.BadHeader(name) == "is not a header name (RFC 9110)" {
		return "what stands before the colon "
	}
	return name + " "
}

// badField says why a header may not be added to requests, or returns "".
func badField(key, value string) string {
	if problem := config.BadHeader(key); problem != "" {
		return problem
	}
	if slices.Contains(ofProtocol, key) || strings.HasPrefix(key, "Mcp-") {
		return "is not for the user to set: the protocol goes by it"
	}
	if !config.IsHeaderValue(value) {
		return "has a value that is empty or not visible ASCII"
	}
	return ""
}

func fieldHint(key string) string {
	if key == "Authorization" {
		return "give the token with --token-env NAME, and leave the header away"
	}
	return ""
}

// takenBy returns why a header may not be added to requests under rule.
func takenBy(rule config.Rule, name string) string {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	switch {
	case same(rule.Header):
		return "carries the token already"
	case slices.ContainsFunc(rule.Strip, same):
		return "is removed by rule " + rule.Name
	case slices.ContainsFunc(rule.Headers, func(h config.Header) bool { return same(h.Name) }):
		return "is set by rule " + rule.Name
	}
	return ""
}
