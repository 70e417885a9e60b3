// Package binding keeps who has an MCP session, and which upstream it is on: what
// a gate has to know before it lets a request into one.
//
// A session is known by the SHA-256 of what names it. Ids are as good as passwords
// to a server that knows no callers, so no table holds one.
package binding

import (
	"context"
	"crypto/sha256"
)

// Key stands for a session.
type Key [sha256.Size]byte

// KeyOf returns the key of what is known by that kind of id, on a route where ids
// are a route's own.
func KeyOf(kind, route, id string) Key {
	return sha256.Sum256([]byte(kind + "\x00" + route + "\x00" + id))
}

// Owner is whom a session belongs to: the tid and oid of a caller's token. The
// zero Owner is anybody without a token.
type Owner struct{ Tenant, Object string }

// Binding is who has a session, and where it is. The zero Binding is of a session
// that is not known.
type Binding struct {
	Owner    Owner
	Upstream string // its URL, as configured; never ""
}

// Known reports whether the session is known.
func (b Binding) Known() bool { return b.Upstream != "" }

// Table holds the sessions that upstreams have given. Its methods are safe for
// concurrent use. They fail where it is not known whose a session is: who asks then
// has to refuse. A Table tells the log itself why.
type Table interface {
	// Find returns who has each of the sessions, in their order, and notes that
	// they are in use. It asks once for all.
	Find(ctx context.Context, keys ...Key) ([]Binding, error)

	// Bind notes b as who has the session, unless it is another owner's. It returns
	// who has it then. What belongs to nobody becomes b's owner's.
	Bind(ctx context.Context, k Key, b Binding) (Binding, error)

	// Forget removes the sessions.
	Forget(ctx context.Context, keys ...Key) error

	// Shared reports whether other gates have the table, too. To ask it is a round
	// trip then, and may fail.
	Shared() bool
}
