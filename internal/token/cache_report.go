package token

import (
	"errors"
	"log/slog"
	"slices"
)

// report logs how an acquisition ended: before is what was cached, e what the
// source gave. Whose the first token is, and that a later one comes from
// elsewhere or is another's, is worth a look: a variable that was left in the
// environment may have won over the person who signed in.
func (c *Cache) report(q query, before, e *entry, err error) {
	log := c.o.Log.With("audience", c.o.Name)
	if !q.ask.Rejected.IsZero() {
		log = log.With("rejected", q.ask.Rejected.Fingerprint(), "claims", q.ask.Claims != "")
	}
	if e != nil {
		log = log.With("source", e.token.source, "token", e.token.Fingerprint())
		if !e.token.expiry.IsZero() {
			log = log.With("expiry", e.token.expiry)
		}
	}
	switch {
	case err != nil:
		reportFailure(log, e, err)
	case before == nil:
		log.Info("first token", identity("", e.token)...)
	case before.has(e.token) && before.token.source == e.token.source:
		log.Debug("token not renewed: its source gave the same again")
	case before.token.source != e.token.source || before.token.Identity() != e.token.Identity():
		log.Info("new token: its source or identity has changed", slices.Concat(
			identity("", e.token), []any{"former_source", before.token.source}, identity("former_", before.token))...)
	default:
		log.Info("new token")
	}
}

// reportFailure logs err; e is the refused token, if the source gave that again.
func reportFailure(log *slog.Logger, e *entry, err error) {
	known, ok := errors.AsType[*Error](err)
	hint := slog.Attr{} // an empty one is not logged
	if ok && known.Hint != "" {
		hint = slog.String("hint", known.Hint)
	}
	switch {
	case !errors.Is(err, ErrSame):
		log.Warn("no token", "error", err, hint)
	case e == nil && ok:
		log.Warn("token not replaced: its source gave the same again", "source", known.Source, "error", err, hint)
	default:
		log.Warn("token not replaced: its source gave the same again", hint)
	}
}

// identity returns what the log says of t's identity, each name with prefix.
func identity(prefix string, t Token) (attrs []any) {
	id := t.Identity()
	for _, a := range []slog.Attr{slog.String("identity", id.Name), slog.String("kind", id.Kind), slog.String("tenant", id.TenantID)} {
		if a.Value.String() != "" {
			attrs = append(attrs, slog.Attr{Key: prefix + a.Key, Value: a.Value})
		}
	}
	return attrs
}
