package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// client looks at the application that asked for the token.
func (s *sample) client() {
	e := &s.cfg.Entra
	name := "azp"
	if s.text("ver") == "1.0" {
		name = "appid"
	}
	id, oid := strings.ToLower(s.text(name)), strings.ToLower(s.text("oid"))
	meets := "clients"
	switch {
	case id == "":
		s.errorf("it has no %s: it is no access token, but an ID token or another's", name).Hint = "the access token that the client sends in Authorization"
		meets = ""
	case len(e.Clients) == 0:
		meets = "any"
	case !slices.Contains(e.Clients, id):
		meets = ""
		p := s.errorf("%s is %s, which is not in clients", name, show(id))
		p.Hint = "add it to clients in [entra] if this program may call"
		if known := config.KnownApplication(id); known != "" {
			p.Message += ": it is " + known
		}
		if slices.Contains(e.Clients, oid) {
			p.Hint = "clients has the token's oid, an object id: it wants the client id, " + id
		}
	}
	s.note(name, s.text(name), meets)
	s.note("oid", s.text("oid"), "")
	if oid == "" {
		s.errorf("it has no oid: it names no user and no application").Hint = "the access token of a user or of a service principal"
	}
	if slices.Contains(e.Tenants, oid) || oid != "" && oid == e.ClientID {
		s.warnf("oid, the caller's object id, is in tenants or is client_id: one of them is in the wrong place")
	}
}

// inTime looks at when the token is valid.
func (s *sample) inTime(now time.Time) {
	for _, name := range []string{"nbf", "exp"} {
		raw, ok := s.claims[name]
		seconds, err := strconv.ParseFloat(string(raw), 64)
		at := time.Unix(int64(seconds), 0).UTC()
		switch {
		case !ok && name == "nbf":
			continue
		case err != nil || seconds < 0 || seconds > 253402300799: // the end of the year 9999
			s.errorf("%s is no date", name)
			continue
		case name == "exp" && !now.Before(at.Add(clockSkew)):
			s.errorf("it expired at %s, %s ago", at.Format(time.RFC3339), now.Sub(at).Round(time.Minute)).Hint = "the client has to get a new one"
		case name == "nbf" && at.After(now.Add(clockSkew)):
			s.errorf("it is not valid before %s", at.Format(time.RFC3339)).Hint = "look at the clock of this machine"
		}
		if name == "exp" {
			s.left = max(at.Sub(now), 0)
		}
		s.note(name, at.Format(time.RFC3339), "")
	}
}

// clockSkew is what clocks may differ by.
const clockSkew = time.Minute

// permissions looks at what the caller may do.
func (s *sample) permissions() {
	s.note("scp", s.text("scp"), "")
	s.note("roles", strings.Join(s.roles(), " "), "")
	if len(s.scopes())+len(s.roles()) > 0 {
		return
	}
	p := s.errorf("it has neither scp nor roles, so that no route lets it in")
	p.Hint = "an application, such as a managed identity, wants an app role of this registration assigned; a user's client asks for a scope"
}

func (s *sample) scopes() []string { return strings.Fields(s.text("scp")) }

func (s *sample) roles() (roles []string) {
	_ = json.Unmarshal(s.claims["roles"], &roles) // what is no list of strings is none
	return roles
}

// asVerified adds what else the gate would find wrong before it looks for a key.
func (s *sample) asVerified(token string, now time.Time) {
	e := &s.cfg.Entra
	_, err := verify.Inspect(verify.Options{
		Authority: e.AuthorityHost, Tenants: e.Tenants, Audiences: e.Audiences, Clients: e.Clients, Algorithms: e.Algorithms,
		Now: func() time.Time { return now },
	}, token)
	if err != nil && !s.refused() {
		s.errorf("%v", err)
	}
}

// refused reports whether the gate would refuse the token.
func (s *sample) refused() bool {
	return slices.ContainsFunc(s.problems, func(p config.Problem) bool { return !p.Warning })
}

// admissions asks each route, as if the rest of the token were in order. Nothing is
// exchanged.
func (s *sample) admissions() {
	who := &imagined{scopes: s.scopes(), roles: s.roles(), left: s.left}
	for _, r := range s.cfg.Routes {
		u := *s.cfg.PublicURL
		u.Path = r.Path
		seen, res, _, err := rehearse(s.cfg, gateQuestion{method: "POST", url: &u, caller: who})
		if err != nil {
			s.errorf("%v", err)
			return
		}
		a := routeVerdict{Path: r.Path, Admits: seen.Allowed, Says: res.says()}
		if seen.Allowed && r.OnBehalfOf != nil {
			a.OnBehalfOf = r.OnBehalfOf.Scopes
		}
		s.Routes = append(s.Routes, a)
	}
	if slices.ContainsFunc(s.Routes, func(a routeVerdict) bool { return a.OnBehalfOf != nil }) {
		s.exchangeable()
	}
}

// exchangeable warns of an audience that may be another application's: Entra gives
// nothing in exchange for what it has not issued to the one that asks.
func (s *sample) exchangeable() {
	aud := strings.Join(s.audiences(), " ")
	if slices.Contains(s.cfg.Entra.Audiences, aud) && meetsAudience(&s.cfg.Entra, aud) == "audiences" {
		s.warnf("aud is %s: it can be exchanged only if that is another name of client_id (AADSTS50013)", show(aud)).
			Hint = "the client has to ask for a scope of " + s.cfg.Entra.AppIDURI
	}
}

// print writes what the token says, and what the routes say of it.
func (s *sample) print(w io.Writer) error {
	if s == nil || len(s.Claims) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("the token says, unproven, for its signature was not checked:\n")
	for _, c := range s.Claims {
		line := fmt.Sprintf("  %-6s %s", c.Name, c.Value)
		if c.Meets != "" {
			line += "  (" + c.Meets + ")"
		}
		b.WriteString(line + "\n")
	}
	for _, r := range s.Routes {
		switch {
		case r.Admits && s.refused():
			fmt.Fprintf(&b, "route %s would let it in, were it not for the above\n", r.Path)
		case r.Admits && r.OnBehalfOf != nil:
			fmt.Fprintf(&b, "route %s lets it in, and exchanges it for %s\n", r.Path, strings.Join(r.OnBehalfOf, " "))
		case r.Admits:
			fmt.Fprintf(&b, "route %s lets it in\n", r.Path)
		default:
			fmt.Fprintf(&b, "route %s refuses it: %s\n", r.Path, r.Says)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
