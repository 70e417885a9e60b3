package exchange

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	atOnce  = 64   // requests to Entra at once
	mayWait = 1024 // flights that wait for one of them to end

	// limit bounds a flight, its wait for a slot included.
	limit = 10 * time.Second
)

// query is a question to Entra.
type query struct {
	user   key // of the user's token: what is known of it is kept by it
	key    key // of what is asked, with the claims
	flight key // who has the same shares one

	tenant, assertion string

	again           bool   // the API has refused what was exchanged before
	refused, claims string // that, and what it asked for
}

func plainQuery(tenant, assertion string) query {
	k := keyOf(tenant, assertion)
	return query{user: k, key: k, flight: k, tenant: tenant, assertion: assertion}
}

func againQuery(tenant, assertion, refused, claims string) query {
	return query{
		user: keyOf(tenant, assertion), key: keyOf(tenant, assertion, claims), flight: keyOf(tenant, assertion, claims, refused),
		tenant: tenant, assertion: assertion, again: true, refused: refused, claims: claims,
	}
}

// keyOf returns the key of parts. What is hashed is the hash of each: no two lists
// of parts have the same.
func keyOf(parts ...string) key {
	var all []byte
	for _, p := range parts {
		one := sha256.Sum256([]byte(p))
		all = append(all, one[:]...)
	}
	return sha256.Sum256(all)
}

// answer is what a flight ends with: a token or a refusal. The zero answer is none.
type answer struct {
	token   string
	refusal *Refusal
}

func (a answer) known() bool { return a != answer{} }

func (a answer) result() (string, error) {
	if a.refusal != nil { // a nil *Refusal is an error that is not nil
		return "", a.refusal
	}
	return a.token, nil
}

// wait returns what q is answered with, or ctx's error if that ends before. Who
// leaves leaves the flight to the others.
func (e *Exchanger) wait(ctx context.Context, q query) (string, error) {
	select {
	case r := <-e.start(q):
		return r.Val.(answer).result()
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// start begins a flight for q, or joins it. The channel need not be read.
func (e *Exchanger) start(q query) <-chan singleflight.Result {
	return e.flights.DoChan(string(q.flight[:]), func() (any, error) {
		if !e.enter() {
			return answer{refusal: &Refusal{Reason: Unavailable, Detail: "the gate is ending"}}, nil
		}
		defer e.running.Done()
		return e.fly(q), nil
	})
}

// enter makes Close wait for who entered. Who does not gets in, and has nothing
// to leave.
func (e *Exchanger) enter() bool {
	if !e.closing.TryRLock() {
		return false
	}
	defer e.closing.RUnlock()
	if e.ctx.Err() != nil {
		return false
	}
	e.running.Add(1)
	return true
}

// fly gets q's answer within the limit. The turns are bounded: who would be too
// many is told to come back, and who waits in vain as well.
func (e *Exchanger) fly(q query) answer {
	if !e.queue.TryAcquire(1) {
		return answer{refusal: busy()}
	}
	defer e.queue.Release(1)
	ctx, cancel := context.WithTimeout(e.ctx, limit)
	defer cancel()
	if e.slots.Acquire(ctx, 1) != nil {
		return answer{refusal: busy()}
	}
	defer e.slots.Release(1)
	// Who found nothing before the last flight landed, and started this one after,
	// finds the outcome here.
	if a := e.memory.landed(q, e.o.Now()); a.known() {
		return a
	}
	return e.settle(ctx, q)
}

// settle asks Entra, and remembers what it said.
func (e *Exchanger) settle(ctx context.Context, q query) (a answer) {
	began := e.o.Now()
	defer func() {
		if p := recover(); p != nil { // not a flaw of Entra's answer may end the gate
			a = answer{refusal: &Refusal{Reason: Misconfigured, Detail: "the exchange failed within: report it with the answer of the authority"}}
			e.memory.refuse(q, a.refusal, e.o.Now())
			e.o.Log.Error("an exchange of a token panicked", "type", fmt.Sprintf("%T", p))
		}
		result := "ok"
		if a.refusal != nil {
			result = string(a.refusal.Reason)
		}
		if e.o.Observed != nil {
			e.o.Observed(result, e.o.Now().Sub(began))
		}
	}()
	token, life, err := e.ask(ctx, q)
	switch {
	case err != nil:
		a.refusal = e.refusalOf(ctx, err)
		e.memory.refuse(q, a.refusal, e.o.Now())
	case q.again && token == q.refused:
		a.refusal = &Refusal{Reason: Misconfigured, Detail: "the API refuses the token, and Entra gives no other"}
		e.memory.same(q, a.refusal, e.o.Now())
	default:
		a.token = token
		e.memory.keep(q, token, began.Add(life), e.o.Now())
	}
	return a
}

func busy() *Refusal {
	return &Refusal{Reason: Unavailable, RetryAfter: time.Second, Detail: "too many exchanges are under way"}
}
