package telemetry

// SetRoutes is [History.SetRules] for the routes of a gate, by their paths. They
// appear as rules of those names.
func (h *History) SetRoutes(paths []string) {
	rules := make([]Rule, len(paths))
	for i, p := range paths {
		rules[i] = Rule{Name: p}
	}
	h.SetRules(rules)
}

// GateAnswered notes a request to a gate whose answer begins.
func (h *History) GateAnswered(r *GateRequest) {
	h.note(Rule{Name: r.Route}, r.Status, r.Answered.Sub(r.Start))
}

// GateDone notes one that ended without an answer; of others it has heard.
func (h *History) GateDone(r *GateRequest) {
	if r.Answered.IsZero() {
		h.note(Rule{Name: r.Route}, r.Status, -1)
	}
}
