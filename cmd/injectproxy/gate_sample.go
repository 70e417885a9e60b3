package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// sample is an access token that somebody wants to know about. Nothing that it
// says is proven: its signature was not looked at.
type sample struct {
	cfg      *config.Gate
	at       config.Position
	claims   map[string]json.RawMessage
	problems []config.Problem
	left     time.Duration // until its end

	Claims []claim
	Routes []routeVerdict
}

// claim is a claim of the sample, and what of the configuration it meets.
type claim struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Meets string `json:"meets,omitempty"` // "" if it is not accepted
}

// routeVerdict is what a route says of who shows the sample.
type routeVerdict struct {
	Path   string `json:"path"`
	Admits bool   `json:"admits"`
	Says   string `json:"says,omitempty"`

	OnBehalfOf []string `json:"on_behalf_of,omitempty"` // scopes that it would be exchanged for
}

// sampleJSON is the form of a check with a token in JSON.
type sampleJSON struct {
	Problems []problemJSON  `json:"problems"`
	Claims   []claim        `json:"claims"`
	Routes   []routeVerdict `json:"routes"`
}

// mostSample is the longest file with a token that is read.
const mostSample = 1 << 20

// readSample reads a token from a file, or from stdin for "-". No message
// repeats what it holds.
func readSample(file string, stdin io.Reader) (string, error) {
	from := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usageError("--token: %v", err)
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, mostSample+1))
	if err != nil {
		return "", usageError("--token: %v", err)
	}
	text := strings.TrimSpace(string(data))
	switch {
	case len(data) > mostSample:
		return "", usageError("--token: the file is larger than %d KiB", mostSample>>10)
	case text == "":
		return "", usageError("--token: there is no token in it")
	}
	var az struct {
		AccessToken string `json:"accessToken"`
	}
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &az) == nil && az.AccessToken != "" {
		return az.AccessToken, nil
	}
	if rest, ok := strings.CutPrefix(text, "Bearer "); ok {
		return strings.TrimSpace(rest), nil
	}
	return text, nil
}

// inspectSample decodes a token and holds it against the configuration.
func inspectSample(cfg *config.Gate, token string, now time.Time) *sample {
	s := &sample{cfg: cfg, at: config.Position{File: "token"}}
	parts := strings.Split(token, ".")
	switch {
	case len(parts) == 5:
		s.errorf("it is encrypted (five parts): nobody but the API that it is for can read it").
			Hint = "ask for a token for this application: scope " + cfg.Entra.AppIDURI + "/.default"
		return s
	case len(parts) != 3:
		s.errorf("it is no JWT: that has three parts with dots between them").Hint = "the access token itself: az account get-access-token --query accessToken -o tsv"
		return s
	}
	header, readable := decodePart(parts[0])
	if claims, ok := decodePart(parts[1]); readable && ok {
		s.claims = claims
	} else {
		s.errorf("it is no JWT: its header and its claims are not two JSON objects in base64url")
		return s
	}
	s.header(header)
	s.tenant()
	s.audience()
	s.client()
	s.inTime(now)
	s.permissions()
	s.asVerified(token, now)
	s.admissions()
	return s
}

func decodePart(part string) (map[string]json.RawMessage, bool) {
	data, err := base64.RawURLEncoding.DecodeString(part)
	var object map[string]json.RawMessage
	return object, err == nil && json.Unmarshal(data, &object) == nil && object != nil
}

func (s *sample) errorf(format string, args ...any) *config.Problem {
	s.problems = append(s.problems, config.Problem{Position: s.at, Message: fmt.Sprintf(format, args...)})
	return &s.problems[len(s.problems)-1]
}

func (s *sample) warnf(format string, args ...any) *config.Problem {
	p := s.errorf(format, args...)
	p.Warning = true
	return p
}

// text is a claim that is a string; "" without it.
func (s *sample) text(name string) string { return claimText(s.claims[name]) }

func claimText(raw json.RawMessage) (t string) {
	_ = json.Unmarshal(raw, &t) // what is no string is ""
	return t
}

// note keeps a claim for the table.
func (s *sample) note(name, value, meets string) {
	if value != "" {
		s.Claims = append(s.Claims, claim{name, inShort(value), meets})
	}
}

// mostClaim is how much is shown of what a token says, in bytes.
const mostClaim = 200

// inShort keeps a stranger's text on one line, and that not too long.
func inShort(value string) string { return oneLine(shortened(value, mostClaim)) }

// show quotes what a token says.
func show(value string) string { return strconv.Quote(shortened(value, mostClaim)) }

// header looks at what says how the token is signed.
func (s *sample) header(header map[string]json.RawMessage) {
	alg := claimText(header["alg"])
	meets := ""
	switch {
	case slices.Contains(s.cfg.Entra.Algorithms, alg):
		meets = "algorithms"
	default:
		s.errorf("alg is %s, and algorithms has %s", show(alg), strings.Join(s.cfg.Entra.Algorithms, ", "))
	}
	s.note("alg", alg, meets)
	if _, ok := header["nonce"]; ok {
		s.warnf("its header has a nonce, as tokens for Microsoft Graph do: nobody but Graph can verify those").
			Hint = "the client has to ask for a token for this application: scope " + s.cfg.Entra.AppIDURI + "/.default"
	}
}

// tenant looks at who issued the token.
func (s *sample) tenant() {
	tid := strings.ToLower(s.text("tid"))
	meets := ""
	switch {
	case slices.Contains(s.cfg.Entra.Tenants, tid):
		meets = "tenants"
	case tid == "":
		s.errorf("it has no tid: it is no access token of Entra")
	default:
		p := s.errorf("tid is %s, which is not in tenants", show(tid))
		p.Hint = "add it to tenants in [entra] if the callers of that tenant are to be let in"
		if whose := config.KnownTenant(tid); whose != "" {
			p.Message += ": it is the tenant of " + whose
		}
		for _, other := range []string{"aud", "azp", "appid", "oid"} {
			if slices.Contains(s.cfg.Entra.Tenants, strings.ToLower(s.text(other))) {
				p.Hint = "tenants has the token's " + other + ": put its tid there instead"
			}
		}
	}
	s.note("ver", s.text("ver"), "")
	s.note("iss", s.text("iss"), "")
	s.note("tid", s.text("tid"), meets)
}

// audience looks at whom the token is for.
func (s *sample) audience() {
	e := &s.cfg.Entra
	all := s.audiences()
	aud := strings.Join(all, " ")
	if slices.Contains(e.Audiences, aud) {
		s.note("aud", aud, meetsAudience(e, aud))
		return
	}
	s.note("aud", aud, "")
	switch {
	case aud == "":
		s.errorf("it has no aud")
		return
	case len(all) > 1:
		s.errorf("aud names several audiences, each of which could use the token here: no access token of Entra does")
		return
	}
	p := s.errorf("aud is %s, and accepted are %s", show(aud), strings.Join(e.Audiences, ", "))
	p.Hint = "if that is this application, audiences = [" + show(aud) + "] in [entra]; if not, the client has to ask for the scope " + e.AppIDURI + "/.default"
	bare := strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(aud, "api://")), "/")
	name := config.KnownApplication(bare)
	switch bare {
	case "https://graph.microsoft.com":
		name = "Microsoft Graph"
	case "https://management.azure.com", "https://management.core.windows.net":
		name = "Azure Resource Manager"
	}
	switch {
	case name != "":
		p.Message += ": it is a token for " + name
		p.Hint = "the client has to ask for a token for this application: scope " + e.AppIDURI + "/.default"
	case slices.ContainsFunc(e.Audiences, func(a string) bool { return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(aud, "/")) }):
		p.Message += ": they differ in a slash at the end or in case, and both count"
		p.Hint = "audiences = [" + show(aud) + "] in [entra]"
	case slices.Contains(e.Clients, bare):
		p.Hint = "clients has it, and aud is whom the token is for: audiences, or client_id, wants it"
	}
}

func meetsAudience(e *config.GateEntra, aud string) string {
	switch aud {
	case e.ClientID, "api://" + e.ClientID:
		return "client_id"
	case e.AppIDURI:
		return "app_id_uri"
	}
	return "audiences"
}

func (s *sample) audiences() (all []string) {
	if json.Unmarshal(s.claims["aud"], &all) != nil && s.text("aud") != "" {
		return []string{s.text("aud")}
	}
	return all
}
