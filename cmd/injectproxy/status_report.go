package main

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// statusReport is what a running serve says of itself, and its form in JSON.
// Of tokens it has fingerprints.
type statusReport struct {
	Version       string           `json:"version"`
	Listen        string           `json:"listen"`
	Page          string           `json:"page"` // URL of the page for people
	Started       time.Time        `json:"started"`
	Now           time.Time        `json:"now"`
	Ready         bool             `json:"ready"`    // false while it drains
	Problems      []statusProblem  `json:"problems"` // all there are, each with what to do
	Configuration statusConfig     `json:"configuration"`
	Traffic       traffic          `json:"traffic"`
	Rules         []statusRule     `json:"rules"`
	Forwarded     tally            `json:"forwarded"` // to hosts of rules, under none of them
	Tokens        []statusToken    `json:"tokens"`
	TeamsOff      []statusTeam     `json:"teams_off"`
	Distrusted    []distrusted     `json:"distrusted"` // hosts whose certificate a client has lately refused
	Retries       map[string]int64 `json:"retries"`    // of refused tokens, by what came of it
	Sessions      []statusSession  `json:"sessions"`
	SessionCounts map[string]int64 `json:"session_counts"` // of what has happened to sessions, by what
	Gate          *statusGate      `json:"gate,omitempty"` // of a gate, whose routes are its rules

	// What is not part of each second's news.
	InFlight      []liveRequest `json:"in_flight,omitempty"` // the latest of them
	Recent        []liveRequest `json:"recent,omitempty"`    // the last to have ended
	SessionEvents []liveSession `json:"session_events,omitempty"`
}

// fullReport is a report with what plots are made of.
type fullReport struct {
	statusReport
	Plots telemetry.Plots `json:"plots"`
}

type statusConfig struct {
	File     string        `json:"file"`
	InUse    time.Time     `json:"in_use_since"`
	Changes  int           `json:"changes"`
	Broken   time.Time     `json:"broken_since,omitzero"` // the files are not what is in use
	Why      string        `json:"why,omitempty"`
	Problems []problemJSON `json:"problems"` // of the files as they were last read
	Restart  []string      `json:"restart"`  // keys that wait for one
}

type statusRule struct {
	Name     string   `json:"name"`
	Team     string   `json:"team,omitempty"`
	Kind     string   `json:"kind"`
	Prefixes []string `json:"prefixes"`
	Audience string   `json:"audience,omitempty"`
	Place    string   `json:"place"` // FILE:LINE
	Off      string   `json:"off,omitempty"`
	tally
}

type statusToken struct {
	Audience    string    `json:"audience"`
	Team        string    `json:"team,omitempty"`
	Source      string    `json:"source,omitempty"` // "" while there is no token
	Fingerprint string    `json:"fingerprint,omitempty"`
	Expiry      time.Time `json:"expiry,omitzero"`
	Trouble     string    `json:"trouble,omitempty"`
	Hint        string    `json:"hint,omitempty"`
}

// statusSession is a live MCP session.
type statusSession struct {
	Session    string    `json:"session"` // digest of its id
	Client     string    `json:"client,omitempty"`
	Target     string    `json:"target"`
	Version    string    `json:"version"` // of the protocol
	Began      time.Time `json:"began"`
	Used       time.Time `json:"used"`
	Recoveries int       `json:"recoveries"`
	Streams    int       `json:"streams"`
	Recovering bool      `json:"recovering,omitempty"`
}

type statusTeam struct {
	Team string `json:"team"`
	Why  string `json:"why"`
}

// mostSessions are listed; of more there is a count.
const mostSessions = 200

// report describes the instance and its configuration.
func (r *reloader) report(listen string, started time.Time) statusReport {
	state, in := r.now(), r.in
	in.mu.Lock()
	g := in.current
	in.mu.Unlock()
	report := statusReport{
		Version: version(), Listen: listen, Started: started, Now: time.Now(), Traffic: in.watch.live.traffic(),
		Configuration: statusConfig{
			File: g.cfg.File, InUse: state.inUse, Changes: state.count, Broken: state.failed, Why: state.why,
			Problems: problemsJSON(state.problems), Restart: append([]string{}, state.restart...),
		},
		Rules: []statusRule{}, TeamsOff: []statusTeam{}, Forwarded: in.watch.counts.of("", ""), Retries: map[string]int64{},
	}
	for _, rule := range g.cfg.Rules {
		if rule.Name == "" { // a refusal in place of a team's rules
			report.TeamsOff = append(report.TeamsOff, statusTeam{rule.Team, rule.Off})
			continue
		}
		report.Rules = append(report.Rules, in.ruleStatus(rule))
	}
	report.Tokens, report.Distrusted = g.tokenStatus(), in.watch.distrust.list(time.Now())
	for name, n := range in.stats.All() {
		if n > 0 {
			report.Retries[name] = n
		}
	}
	report.Sessions, report.Traffic.Sessions = in.sessionStatus()
	var events []liveSession
	events, report.SessionCounts = in.watch.live.sessionEvents()
	report.Problems = append(report.problems(in.watch.live.refusals(report.Now), events), auditProblems(in.around.audit)...)
	return report
}

// full is the report with what has happened lately.
func (r *reloader) full(report statusReport) fullReport {
	watch := r.in.watch
	report.InFlight, report.Recent = watch.live.requests()
	report.SessionEvents, _ = watch.live.sessionEvents()
	return fullReport{report, watch.plots()}
}

// sessionStatus lists sessions, up to [mostSessions], and says how many there
// are.
func (in *instance) sessionStatus() (list []statusSession, all int) {
	list = []statusSession{}
	sessions := in.book.Sessions()
	for _, s := range sessions[:min(len(sessions), mostSessions)] {
		list = append(list, statusSession{
			s.Session, s.Owner, shortened(s.Target, mostPath), shortened(s.Version, 20),
			s.Began, s.Used, s.Recoveries, s.Streams, s.Recovering,
		})
	}
	return list, len(sessions)
}

func (in *instance) ruleStatus(r config.Rule) statusRule {
	s := statusRule{Name: r.Name, Team: r.Team, Kind: r.Kind, Place: r.Pos.String(), Off: r.Off, tally: in.watch.counts.of(r.Team, r.Name)}
	for _, p := range r.Prefixes {
		s.Prefixes = append(s.Prefixes, p.String())
		if a := in.unsignable(r, p.Authority()); a != nil && s.Off == "" {
			s.Off = a.Detail
		}
	}
	if r.Audience != nil {
		s.Audience = r.Audience.Name
	}
	return s
}

// tokenStatus describes what each audience has, in the order of the files.
func (g *generation) tokenStatus() []statusToken {
	list := []statusToken{}
	for _, a := range g.cfg.Audiences {
		s := g.supplies[a]
		if s == nil {
			continue
		}
		t, trouble := s.Held()
		list = append(list, describeToken(a, t, trouble))
	}
	slices.SortStableFunc(list, func(a, b statusToken) int { return cmp.Compare(a.Team, b.Team) })
	return list
}

// describeToken describes what audience a has, and what is wrong with asking
// for more.
func describeToken(a *config.Audience, t token.Token, trouble error) statusToken {
	entry := statusToken{Audience: a.Name, Team: a.Team}
	if !t.IsZero() {
		entry.Source, entry.Fingerprint, entry.Expiry = t.Source(), t.Fingerprint(), t.Expiry()
	}
	if trouble != nil {
		entry.Trouble = trouble.Error()
		if e, ok := errors.AsType[*token.Error](trouble); ok {
			// With the claims challenge of the service, if there was one. The log masks it,
			// as it is nobody's business there; here the command has to be runnable by who
			// is shown it, and it is no secret of theirs: a challenge asks for a sign-in and
			// gives nothing.
			entry.Hint = e.Hint
		}
	}
	return entry
}
