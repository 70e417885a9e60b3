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

// Binding is who has a session, and where it is.
type Binding struct {
	Owner    Owner
	Upstream string // its URL, as configured
}

// Table holds the sessions that upstreams have given. Its methods are safe for
// concurrent use. They fail where it is not known whose a session is: who asks then
// has to refuse.
type Table interface {
	// Find returns who has the session, and notes that it is in use; false if it
	// is not known.
	Find(ctx context.Context, k Key) (b Binding, found bool, err error)

	// Bind notes b as who has the session, unless it is another owner's. It returns
	// who has it then. What belongs to nobody becomes b's owner's.
	Bind(ctx context.Context, k Key, b Binding) (Binding, error)

	// Forget removes the session.
	Forget(ctx context.Context, k Key) error
}
