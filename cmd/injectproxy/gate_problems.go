package main

import (
	"time"

	"github.com/injectproxy/injectproxy/internal/gate"
)

// expiresSoon is how long before its end a certificate is worth a word: whoever
// renews it by itself does so before.
const expiresSoon = 48 * time.Hour

// keyProblems say that keys cannot be had.
func keyProblems(keys []statusKeys) (list []statusProblem) {
	for _, k := range keys {
		if k.Problem == "" {
			continue
		}
		p := statusProblem{"error", "keys", "the keys of tenant " + k.Tenant + " cannot be had, so that none of its tokens is accepted: " + k.Problem,
			"see to the way from here to the authority: upstream_proxy and upstream_ca, authority_host in [entra]"}
		if k.Held > 0 {
			p.Level, p.Text = "warning", "the keys of tenant "+k.Tenant+" cannot be renewed: "+k.Problem+"; those at hand serve for a day"
		}
		list = append(list, p)
	}
	return list
}

// upstreamProblems say which MCP servers could not be reached when they were
// last asked, if that was not long ago.
func upstreamProblems(upstreams []gate.UpstreamState, now time.Time) (list []statusProblem) {
	for _, u := range upstreams {
		if !u.Failed.IsZero() && now.Sub(u.Failed) < newsFor {
			list = append(list, statusProblem{"error", "upstream", u.Host + " of route " + u.Route + " could not be reached " + ago(now, u.Failed) + " ago",
				"see whether it runs, and to upstream and upstream_http of the route"})
		}
	}
	return list
}

// certificateProblems say that the certificate that clients see ends, if there
// is one.
func certificateProblems(ends, now time.Time) []statusProblem {
	left := ends.Sub(now)
	switch {
	case ends.IsZero() || left > expiresSoon:
		return nil
	case left <= 0:
		return []statusProblem{{"error", "certificate", "the certificate has ended " + ago(now, ends) + " ago, so that no client gets in", "replace the files of [tls]; they are read again by themselves"}}
	}
	return []statusProblem{{"warning", "certificate", "the certificate ends in " + ago(ends, now), "replace the files of [tls]; they are read again by themselves"}}
}
