package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// statusGate is what a running gate says of itself beside what every status
// has. There is nothing in it that would be a secret: of callers it has ids.
type statusGate struct {
	URL      string         `json:"public_url"`
	Keys     []statusKeys   `json:"keys"`
	Routes   []statusRoute  `json:"routes"`
	Denials  []statusDenial `json:"denials"`         // since the start, the latest first
	Sessions int            `json:"sessions"`        // that are known here; 0 if they are in a store
	Store    *statusStore   `json:"store,omitempty"` // that gates share their sessions in
}

// statusKeys are the keys of a tenant.
type statusKeys struct {
	Tenant  string    `json:"tenant"`
	Held    int       `json:"held"`
	Fetched time.Time `json:"fetched,omitzero"` // when they were last had
	Problem string    `json:"problem,omitempty"`
}

// statusRoute is a route and what it asks of callers.
type statusRoute struct {
	Path      string   `json:"path"`
	Place     string   `json:"place"` // FILE:LINE
	Mode      string   `json:"mode"`
	Upstreams []string `json:"upstreams"`
	Scopes    []string `json:"scopes"`
	Roles     []string `json:"roles"`
	Default   string   `json:"default"` // of what no pattern names: deny or allow
	Patterns  int      `json:"patterns"`
	tally

	OnBehalfOf []string                 `json:"on_behalf_of,omitempty"` // scopes that callers' tokens are exchanged for
	Exchanges  map[string]exchangeTally `json:"exchanges,omitempty"`    // since the start, by what came of them
}

// statusDenial is how often something was denied for one reason.
type statusDenial struct {
	Reason string `json:"reason"`
	denialTally
}

// report describes the gate.
func (w *gateway) report(listen string, started time.Time) statusReport {
	r := statusReport{
		Version: version(), Listen: listen, Started: started, Now: time.Now(), Ready: w.ready(), Problems: []statusProblem{},
		Configuration: statusConfig{File: w.cfg.File, InUse: started, Problems: []problemJSON{}, Restart: []string{}},
		Rules:         []statusRule{}, Tokens: []statusToken{}, TeamsOff: []statusTeam{}, Retries: map[string]int64{},
		Distrusted: []distrusted{}, Sessions: []statusSession{}, SessionCounts: map[string]int64{},
	}
	r.Traffic.InFlight, r.Traffic.Streams = w.watch.live.inFlight()
	r.Gate = &statusGate{URL: w.cfg.PublicURL.String(), Keys: w.keyStatus(), Denials: w.watch.denials.list(), Sessions: max(0, w.Sessions()), Store: w.storeStatus()}
	r.Traffic.Sessions = r.Gate.Sessions
	for _, route := range w.cfg.Routes {
		s := w.routeStatus(route)
		r.Gate.Routes = append(r.Gate.Routes, s)
		r.Rules = append(r.Rules, statusRule{Name: s.Path, Kind: s.Mode, Prefixes: s.Upstreams, Audience: strings.Join(s.OnBehalfOf, " "), Place: s.Place, tally: s.tally})
	}
	r.Problems = append(r.Problems, keyProblems(r.Gate.Keys)...)
	r.Problems = append(r.Problems, upstreamProblems(w.Upstreams(), r.Now)...)
	r.Problems = append(r.Problems, exchangeProblems(r.Gate.Routes, r.Now)...)
	r.Problems = append(r.Problems, w.consents.told()...)
	r.Problems = append(r.Problems, storeProblems(r.Gate.Store)...)
	r.Problems = append(r.Problems, certificateProblems(w.CertificateExpiry(), r.Now)...)
	r.Problems = append(r.Problems, auditProblems(w.around.audit)...)
	return r
}

// full is the report with what has happened lately.
func (w *gateway) full(report statusReport) fullReport {
	report.InFlight, report.Recent = w.watch.live.requests()
	return fullReport{report, w.watch.history.Snapshot()}
}

func (w *gateway) routeStatus(r config.GateRoute) statusRoute {
	s := statusRoute{
		Path: r.Path, Place: r.Pos.String(), Mode: r.Mode, Scopes: append([]string{}, r.Scopes...), Roles: append([]string{}, r.Roles...),
		Default: "deny", Patterns: len(r.Tools) + len(r.Resources) + len(r.Prompts), tally: w.watch.counts.of("", r.Path),
	}
	if r.Allow {
		s.Default = "allow"
	}
	for _, u := range r.Upstreams {
		s.Upstreams = append(s.Upstreams, u.String())
	}
	if r.OnBehalfOf != nil {
		s.OnBehalfOf, s.Exchanges = r.OnBehalfOf.Scopes, w.watch.exchanges.on(r.Path)
	}
	return s
}

// keyStatus describes the keys of each tenant.
func (w *gateway) keyStatus() []statusKeys {
	list := []statusKeys{}
	for _, k := range w.keys.Keys() {
		list = append(list, statusKeys{k.Tenant, k.Held, k.Fetched, k.Problem})
	}
	return list
}

// keyStates are the keys as metrics have them.
func (w *gateway) keyStates() (states []telemetry.KeyState) {
	for _, k := range w.keys.Keys() {
		states = append(states, telemetry.KeyState{Tenant: k.Tenant, Held: k.Held, Fetched: k.Fetched})
	}
	return states
}

// list returns what was denied, the latest first.
func (d *denials) list() []statusDenial {
	list := []statusDenial{}
	all := d.all()
	for _, reason := range slices.Sorted(maps.Keys(all)) {
		list = append(list, statusDenial{reason, all[reason]})
	}
	slices.SortStableFunc(list, func(a, b statusDenial) int { return b.Last.Compare(a.Last) })
	return list
}

// print writes the gate's report for people.
func (g *statusGate) print(w io.Writer, s *statusReport, now time.Time) {
	fmt.Fprintf(w, "clients see %s\n", g.URL)
	for _, p := range s.Problems {
		fmt.Fprintf(w, "%s: %s\n  hint: %s\n", p.Level, p.Text, p.Hint)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nROUTE\tREQUESTS\tFAILED\tLAST\tMODE\tUPSTREAMS\n")
	for _, r := range g.Routes {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\n", r.Path, r.Requests, r.Failures, last(now, r.Last), r.Mode, strings.Join(r.Upstreams, " "))
	}
	fmt.Fprintf(t, "\nTENANT\tKEYS\tHAD\n")
	for _, k := range g.Keys {
		fmt.Fprintf(t, "%s\t%d\t%s\n", k.Tenant, k.Held, last(now, k.Fetched))
	}
	printExchanges(t, g.Routes, now)
	if len(g.Denials) > 0 {
		fmt.Fprintf(t, "\nDENIED\tTIMES\tLAST\tROUTE\tNAME\n")
	}
	for _, d := range g.Denials {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", d.Reason, d.Count, last(now, d.Last), d.Route, quoted(d.Name))
	}
	t.Flush() // to a Builder: it cannot fail
	fmt.Fprintf(w, "\n%d in flight, %d of them streams; %s\n", s.Traffic.InFlight, s.Traffic.Streams, g.sessions())
}

// sessions says how many there are, or that they are elsewhere.
func (g *statusGate) sessions() string {
	if g.Store != nil {
		return "sessions are in Redis"
	}
	return fmt.Sprintf("%d sessions", g.Sessions)
}

// quoted is what a client calls something, fit for a terminal.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return strconv.Quote(name)
}
