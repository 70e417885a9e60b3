package main

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// How often the store is asked whether it does what is asked for sessions: what is
// told of it would be old where nobody asks it anything else, and a few answers do
// not show it. Where it does not, it is asked more often, so as to say soon that it
// does again.
const (
	storePulse   = 10 * time.Second
	storeTrouble = time.Second
)

// openStore has o share its sessions in Redis, if the configuration has one. It
// asks nobody.
func (w *gateway) openStore(o *gate.Options, trust *tls.Config) (err error) {
	c := &w.cfg.Redis
	if c.URL == "" {
		return nil // in memory
	}
	w.store, err = binding.NewRedis(binding.RedisOptions{URL: c.URL, PasswordFile: c.PasswordFile, TLS: trust, Prefix: w.cfg.PublicURL.Host, Log: w.around.log})
	if err != nil {
		return err
	}
	o.Sessions = w.store
	return nil
}

// watchStore asks the store whether all is well, at once and then now and again, until
// ctx ends. It tells the log itself.
func (w *gateway) watchStore(ctx context.Context) {
	if w.store == nil {
		return
	}
	for ctx.Err() == nil {
		pause := storePulse
		if w.store.Ping(ctx) != nil {
			pause = storeTrouble
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// storeState is the store's state as metrics have it.
func (w *gateway) storeState() telemetry.StoreState {
	return telemetry.StoreState{Up: w.store.Up(), Failures: w.store.Failures()}
}

// statusStore is where gates share their sessions.
type statusStore struct {
	Up       bool  `json:"up"` // nothing failed since it last did all that is asked
	Failures int64 `json:"failures"`
}

// storeStatus describes it, nil if the gate shares with nobody.
func (w *gateway) storeStatus() *statusStore {
	if w.store == nil {
		return nil
	}
	s := w.storeState()
	return &statusStore{s.Up, s.Failures}
}

// storeProblems say that nobody can tell whose a session is.
func storeProblems(s *statusStore) []statusProblem {
	if s == nil || s.Up {
		return nil
	}
	return []statusProblem{{"error", "store", "Redis does not answer as it has to, so that requests of a session are refused",
		"see whether it runs, and to url and password_file in [redis]; the log says what is wrong"}}
}
