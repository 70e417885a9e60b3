package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/token"
)

// stuckSource goes on after its context has ended.
type stuckSource struct{ begun, release chan struct{} }

func (s stuckSource) Token(context.Context, token.Ask) (token.Token, error) {
	close(s.begun)
	<-s.release
	return token.Token{}, context.Canceled
}

func TestASecondSignalEndsTheWaitForATokenSource(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{top: `upstream_proxy = "direct"`}.write(t, home)
	cfg, problems := config.Load(home + "/config.toml")
	if cfg == nil {
		t.Fatal(problems)
	}
	policy, err := access.New("open", access.Credential{})
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	in, err := build(cfg, surroundings{access: policy, log: log})
	must(t, err)
	src := stuckSource{begun: make(chan struct{}), release: make(chan struct{})}
	cache := token.NewCache(src, token.Options{Name: "stuck"})
	in.current.supplies[&config.Audience{Name: "stuck"}] = &supply{Cache: cache, end: func() {}}
	waited := make(chan error, 1)
	go func() {
		_, err := cache.Token(t.Context())
		waited <- err
	}()
	<-src.begun

	signals, ended := make(chan os.Signal, 2), make(chan error, 1)
	go func() { ended <- drain(in, 0, signals, log) }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for err == nil {
		select {
		case <-again.C:
			select {
			case signals <- os.Interrupt:
			default:
			}
		case err = <-ended:
			if err == nil || !strings.Contains(err.Error(), "second signal") {
				t.Fatalf("serve ended with %v, after it had waited for the source", err)
			}
		}
	}
	close(src.release)
	<-waited
	cache.Close()
}
