package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	distrustFor  = 10 * time.Minute // as long, a refused certificate is news
	maxDistrust  = 64               // hosts remembered at a time
	trustRemedy  = "start the client in a shell after: " + setVariables
	distrustText = "a client refused the certificate %s ago: it lacks the CA (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE or the like; injectproxy env names them)"
)

// distrusted is a host whose certificate a client has refused.
type distrusted struct {
	Authority string    `json:"authority"`
	At        time.Time `json:"at"`
	Times     int       `json:"times"`
}

// distrust remembers which certificates of ours clients have refused lately,
// until one of them is accepted. The zero distrust is empty; it is safe for
// concurrent use.
type distrust struct {
	some   atomic.Bool // there may be something to forget; read without the lock
	mu     sync.Mutex
	byHost map[string]distrusted
}

// note takes down that a client has refused the certificate for authority,
// which a rule names.
func (d *distrust) note(authority string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byHost == nil {
		d.byHost = map[string]distrusted{}
	}
	if _, known := d.byHost[authority]; !known && len(d.byHost) >= maxDistrust {
		return
	}
	d.some.Store(true)
	d.byHost[authority] = distrusted{authority, time.Now(), d.byHost[authority].Times + 1}
}

// forget takes down that a request to authority has come through.
func (d *distrust) forget(authority string) {
	if !d.some.Load() {
		return // as nearly always, and for each request
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byHost, authority)
	d.some.Store(len(d.byHost) > 0)
}

// list returns what is still news at now, by host.
func (d *distrust) list(now time.Time) []distrusted {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.byHost, func(_ string, x distrusted) bool { return now.Sub(x.At) > distrustFor })
	list := slices.Collect(maps.Values(d.byHost))
	slices.SortFunc(list, func(a, b distrusted) int { return cmp.Compare(a.Authority, b.Authority) })
	return append([]distrusted{}, list...)
}

// examineDistrust asks the serve at listen which clients have lately refused
// its certificates. Without its status there is nothing to tell.
func (d *doctor) examineDistrust(ctx context.Context, listen string) (findings []finding) {
	if d.cfg.Admin.Listen == "" {
		return nil
	}
	address, err := reachable(d.cfg.Admin.Listen)
	if err != nil {
		return nil
	}
	raw, err := askStatus(ctx, address)
	var report statusReport
	if err != nil || json.Unmarshal(raw, &report) != nil || report.Listen != listen {
		return nil
	}
	for _, x := range report.Distrusted {
		findings = append(findings, finding{"client", stateFail, x.Authority, fmt.Sprintf(distrustText, ago(time.Now(), x.At)), setVariables})
	}
	return findings
}
