package token

import "context"

// Use is how the layers of one route tell each other about the token of one
// request: the injecting layer writes down what it attached, the retrying
// layer reads it to know what was refused. One request is served by one
// goroutine at a time, so a Use needs no lock.
type Use struct {
	Token    Token  // the token attached last; zero if the client's own header was kept
	Next     Token  // the token to attach the next time, instead of asking the cache; the injecting layer takes it
	Attempts int    // times the request was sent upstream
	Retry    string // how a refusal was handled, "" if there was none
	Why      error  // why a refusal was not mended, nil if it was or there was none
}

type useKey struct{}

// WithUse returns a context that carries u.
func WithUse(ctx context.Context, u *Use) context.Context {
	return context.WithValue(ctx, useKey{}, u)
}

// UseFrom returns the Use that ctx carries, or nil.
func UseFrom(ctx context.Context) *Use {
	u, _ := ctx.Value(useKey{}).(*Use)
	return u
}
