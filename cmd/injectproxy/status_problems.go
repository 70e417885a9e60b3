package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// statusProblem is something that somebody should know, and what to do about it.
type statusProblem struct {
	Level string `json:"level"` // error: requests fail; warning: some may
	About string `json:"about"` // configuration, team, rule, token, refusal, session, client, audit, metrics; of a gate keys, upstream, exchange, consent, store, certificate
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// newsFor is how long a problem that nobody takes back is shown.
const newsFor = 10 * time.Minute

// problems lists what is wrong, the worst of each kind first.
func (s *statusReport) problems(refusals []deadEnd, events []liveSession) []statusProblem {
	list := append([]statusProblem{}, s.Configuration.trouble()...)
	add := func(level, about, text, hint string) {
		list = append(list, statusProblem{level, about, text, hint})
	}
	for _, t := range s.TeamsOff {
		add("error", "team", "team "+t.Team+" is off: "+t.Why, "mend its file: injectproxy check; meanwhile requests under its prefixes get 502")
	}
	for _, r := range s.Rules {
		if r.Off != "" {
			add("error", "rule", "rule "+r.Name+" is off: "+r.Off, "injectproxy check")
		}
	}
	for _, t := range s.Tokens {
		switch {
		case t.Trouble == "":
		case t.Fingerprint == "":
			add("error", "token", "no token for "+t.Audience+": "+t.Trouble, t.Hint)
		default:
			add("warning", "token", "the token for "+t.Audience+" cannot be refreshed: "+t.Trouble, t.Hint)
		}
	}
	for _, r := range refusals {
		add("warning", "refusal", fmt.Sprintf("%s refused the token of rule %s %s ago: %s", r.authority, r.rule, ago(s.Now, r.at), r.outcome), refusalHints[r.outcome])
	}
	for _, e := range unmended(events, s.Now) {
		text := "a lost session at " + e.Target + " could not be put back: " + e.Detail
		if e.Kind == "suppressed" {
			text = "a lost session at " + e.Target + " is left for a moment, as the last attempt to put one back has failed"
		}
		add("warning", "session", text, "the server may be down; once it answers, clients go on")
	}
	for _, d := range s.Distrusted {
		add("warning", "client", "a client refused the certificate for "+d.Authority+" "+ago(s.Now, d.At)+" ago: it does not trust the CA", trustRemedy)
	}
	return list
}

// trouble is what is wrong with the files.
func (c *statusConfig) trouble() (list []statusProblem) {
	if !c.Broken.IsZero() {
		list = append(list, statusProblem{"error", "configuration", "the changed files are broken, so the ones before stay in use: " + c.Why, "injectproxy check"})
	}
	for _, p := range c.Problems {
		at := p.File
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		list = append(list, statusProblem{p.Level, "configuration", at + ": " + p.Message, p.Hint})
	}
	if len(c.Restart) > 0 {
		list = append(list, statusProblem{"warning", "configuration", "changed settings wait for a restart: " + strings.Join(c.Restart, ", "), restartHint(c.Restart)})
	}
	return list
}

// unmended returns the last of the events, the latest first, of each target
// where a recovery has failed lately and nothing has worked since.
func unmended(events []liveSession, now time.Time) (list []liveSession) {
	seen := map[string]bool{}
	for _, e := range events {
		if seen[e.Target] || e.Kind == "lost" || e.Kind == "dropped" || e.Kind == "ended" {
			continue // which say nothing of whether the target works
		}
		seen[e.Target] = true
		if (e.Kind == "failed" || e.Kind == "suppressed") && now.Sub(e.At) < newsFor {
			list = append(list, e)
		}
	}
	return list
}

// deadEnd is a token that an upstream refused for good.
type deadEnd struct {
	rule, authority string
	outcome         string
	at              time.Time
}

// maxRefusals bounds the rules whose refusals are remembered; the oldest of more
// is forgotten.
const maxRefusals = 64

// refusalHints say what can be done about a refused token, by what came of it.
var refusalHints = map[string]string{
	"refused again":  "the token may be for another audience or lack a role: injectproxy doctor",
	"same token":     "the source has no other token: sign in again with injectproxy login, or replace what it reads",
	"cooling down":   "fresh tokens were refused too: the audience may be wrong, or access was taken away; injectproxy doctor",
	"refresh failed": "the source gave no other token; the token's own trouble says why",
	"body too large": "raise body_limit in [retry] to have requests of this size sent again",
	"memory budget":  "raise memory in [retry], or send fewer large requests at once",
}

// refused takes down how a request ended whose token was refused, and forgets
// that of its rule once a request is served.
func (l *live) refused(r *record.Record) {
	served := r.Status > 0 && r.Status < 400
	if r.Rule == "" || r.Retry == "" && !served {
		return
	}
	id := ruleID{r.Team, r.Rule}
	l.mu.Lock()
	defer l.mu.Unlock()
	if served || r.Retry == "healed" {
		delete(l.refusal, id)
		return
	}
	if _, known := l.refusal[id]; !known && len(l.refusal) >= maxRefusals {
		l.forgetRefusal()
	}
	if l.refusal == nil {
		l.refusal = map[ruleID]deadEnd{}
	}
	l.refusal[id] = deadEnd{r.Rule, r.Authority, r.Retry, time.Now()}
}

// forgetRefusal makes room: rules that are gone, or that nobody asks again,
// take back nothing. The caller holds mu.
func (l *live) forgetRefusal() {
	var oldest ruleID
	for id, r := range l.refusal {
		if o, known := l.refusal[oldest]; !known || r.at.Before(o.at) {
			oldest = id
		}
	}
	delete(l.refusal, oldest)
}

// refusals returns those that are still news.
func (l *live) refusals(now time.Time) (list []deadEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.refusal {
		if now.Sub(r.at) < newsFor {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b deadEnd) int { return cmp.Compare(a.rule, b.rule) })
	return list
}
