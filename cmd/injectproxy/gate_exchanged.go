package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/exchange"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// exchanges counts what came of exchanging callers' tokens, by route and result.
// The zero exchanges are ready.
type exchanges struct {
	mu sync.Mutex
	of map[string]map[string]exchangeTally
}

// exchangeTally is how often one thing came of it.
type exchangeTally struct {
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

func (e *exchanges) note(q *telemetry.GateRequest) {
	if q.Exchange == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = map[string]map[string]exchangeTally{}
	}
	if e.of[q.Route] == nil {
		e.of[q.Route] = map[string]exchangeTally{}
	}
	e.of[q.Route][q.Exchange] = exchangeTally{e.of[q.Route][q.Exchange].Count + 1, q.Start}
}

// on returns what came of it on a route.
func (e *exchanges) on(route string) map[string]exchangeTally {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.of[route])
}

// printExchanges writes what came of exchanging tokens for people, if there was anything.
func printExchanges(w io.Writer, routes []statusRoute, now time.Time) {
	headed := false
	for _, r := range routes {
		if len(r.Exchanges) > 0 && !headed {
			headed = true
			fmt.Fprintf(w, "\nEXCHANGED\tRESULT\tTIMES\tLAST\n")
		}
		for _, result := range slices.Sorted(maps.Keys(r.Exchanges)) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", r.Path, result, r.Exchanges[result].Count, last(now, r.Exchanges[result].Last))
		}
	}
}

// exchangeRemedies are what to do where tokens cannot be exchanged: the other
// results are the callers' own.
var exchangeRemedies = map[string]string{
	string(exchange.Consent):       "grant admin consent for the scopes of [route.on_behalf_of] to the gate's application; the log has the address",
	string(exchange.Misconfigured): "the log has the code of Entra, and what it means: see to [route.on_behalf_of] and the app registration",
	string(exchange.Unavailable):   "see to the way from here to the authority: upstream_proxy and upstream_ca, authority_host in [entra]",
}

// exchangeProblems say on which routes tokens could not be exchanged lately.
func exchangeProblems(routes []statusRoute, now time.Time) (list []statusProblem) {
	for _, r := range routes {
		for _, result := range slices.Sorted(maps.Keys(r.Exchanges)) {
			n, hint := r.Exchanges[result], exchangeRemedies[result]
			if hint != "" && now.Sub(n.Last) < newsFor {
				list = append(list, statusProblem{"error", "exchange", "a caller's token could not be exchanged on route " + r.Path + " " + ago(now, n.Last) + " ago: " + result, hint})
			}
		}
	}
	return list
}
