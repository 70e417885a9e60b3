package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// Environment variables of mcp-entra-auth-proxy.
const (
	entraURL     = "MCP_ENTRA_SERVER_URL"
	entraTarget  = "MCP_ENTRA_RESOURCE"
	entraToken   = "MCP_ENTRA_TOKEN" // #nosec G101 -- its name
	entraTenant  = "MCP_ENTRA_TENANT"
	entraMargin  = "MCP_ENTRA_REFRESH_MARGIN"
	entraTimeout = "MCP_ENTRA_TOOL_TIMEOUT"
	entraHeaders = "MCP_ENTRA_HEADERS"
)

// lookup returns an environment variable, as [os.LookupEnv] does.
type lookup func(name string) (string, bool)

// entraIgnored is said of variables that are for another server.
const entraIgnored = " count only with the URL of " + entraURL + ", and are ignored: the URL is an argument"

// ofAnotherServer returns env without what tells how to be let in at the server of
// entraURL, since another one is spoken to, and what is to be said of that, ""
// for nothing.
func (env lookup) ofAnotherServer(o stdioOptions) (rest lookup, note string) {
	theirs := []string{entraTarget, entraToken, entraTenant, entraHeaders}
	var set []string
	for _, name := range theirs {
		if env.text(name) != "" && name != o.tokenEnv {
			set = append(set, name)
		}
	}
	if len(set) > 0 {
		note = strings.Join(set, ", ") + entraIgnored
	}
	return func(name string) (string, bool) {
		if slices.Contains(theirs, name) {
			return "", false
		}
		return env(name)
	}, note
}

// text returns the variable without blanks around it, "" if it is not set:
// clients set what their user left empty.
func (env lookup) text(name string) string {
	value, _ := env(name)
	return strings.TrimSpace(value)
}

// quantity returns the variable, which counts units, and whether it is set. 0
// is the default's, as it is there.
func (env lookup) quantity(name string, unit time.Duration) (time.Duration, bool, error) {
	s := env.text(name)
	if s == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > float64(math.MaxInt64/unit) {
		what := map[time.Duration]string{time.Minute: "minutes", time.Second: "seconds"}[unit]
		return 0, false, usageError("%s is not a number of %s", name, what)
	}
	return time.Duration(n * float64(unit)), n > 0, nil
}

// resourceKind returns the key of an audience that s stands for. What is to be
// given to az as a resource is one; what ends like a scope was meant as a scope.
func resourceKind(s string) string {
	if strings.HasSuffix(s, "/.default") {
		return "scope"
	}
	return "resource"
}

// fields returns the headers of the variable: a JSON object of strings.
func (env lookup) fields(name string) ([]field, error) {
	s := env.text(name)
	if s == "" {
		return nil, nil
	}
	fail := func(what string) ([]field, error) {
		return nil, &failure{
			status: exitUsage, err: errors.New(name + " " + what),
			hint: `write a JSON object of strings, such as {"X-Team":"platform"}`,
		}
	}
	// Tokens, in place of a map: that would take the last of two without a word.
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return fail("is not a JSON object")
	}
	var list []field
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fail("is not a JSON object")
		}
		value, err := d.Token()
		if err != nil {
			return fail("is not a JSON object")
		}
		text, ok := value.(string)
		if !ok {
			return fail("has a value that is not a string")
		}
		list = append(list, field{name: key.(string), value: text, from: name})
	}
	if _, err := d.Token(); err != nil {
		return fail("is not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail("has something behind its JSON object")
	}
	return list, nil
}

// override puts what the environment says of the tokens' time into cfg.
func (env lookup) override(cfg *config.Config) error {
	margin, set, err := env.quantity(entraMargin, time.Minute)
	if set {
		cfg.Token.RefreshMargin = margin
	}
	return err
}
