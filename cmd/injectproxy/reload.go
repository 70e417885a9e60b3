package main

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// loadFunc reads the configuration with the command line's flags applied, as
// [globals.load] does.
type loadFunc func() (*config.Config, []config.Problem, error)

// reloader takes changes of the configuration over, or says why it does not.
type reloader struct {
	in      *instance
	load    loadFunc
	log     *slog.Logger
	started *config.Config // as the files were when serve started
	fixed   *config.Config // whose fixed settings hold

	mu    sync.Mutex
	state reloadState
}

// reloadState is how the configuration in use compares with the files.
type reloadState struct {
	inUse    time.Time        // since when
	count    int              // changes that were taken over
	failed   time.Time        // when the files were last found broken; zero if they are not
	why      string           // why, in a few words
	problems []config.Problem // of the files as they were last read
	restart  []string         // keys that wait for a restart
}

func newReloader(in *instance, cfg *config.Config, problems []config.Problem, load loadFunc) *reloader {
	return &reloader{
		in: in, load: load, log: in.around.log, started: cfg, fixed: in.config(),
		state: reloadState{inUse: time.Now(), problems: problems},
	}
}

// now returns the state.
func (r *reloader) now() reloadState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// reload reads the files and takes them over if config.toml has no error, as at
// the start. It must not be called concurrently, nor once the instance is being
// closed.
func (r *reloader) reload() {
	cfg, problems, err := r.load()
	var restart []string
	if cfg != nil && err == nil {
		restart = hold(cfg, r.started, r.fixed)
		err = r.in.takeOver(cfg)
	}
	r.tell(problems)
	r.in.watch.metrics.Reloaded(cfg != nil && err == nil)
	if cfg == nil || err != nil {
		r.broken(problems, err)
		return
	}
	r.mu.Lock()
	count := r.state.count + 1
	r.state = reloadState{inUse: time.Now(), count: count, problems: problems, restart: restart}
	r.mu.Unlock()
	r.log.Info("configuration reloaded", "change", count, "rules", len(cfg.Rules), "problems", len(problems))
	if len(restart) > 0 {
		r.log.Warn("changed settings wait for a restart", "keys", strings.Join(restart, ", "), "hint", restartHint(restart))
	}
}

func restartHint(keys []string) string {
	if keys[len(keys)-1] != "ca.permit" {
		return "start injectproxy serve again"
	}
	return "start injectproxy serve again; for ca.permit the CA has to be made again first: injectproxy ca rotate"
}

// broken notes that the files cannot be taken over.
func (r *reloader) broken(problems []config.Problem, err error) {
	why := countErrors(problems)
	if err != nil {
		why = err.Error()
	}
	r.log.Error("the changed configuration is broken, so the one before stays in use", "problem", why, "hint", "injectproxy check")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.failed, r.state.why, r.state.problems = time.Now(), why, problems
}

// tell logs each problem with its place.
func (r *reloader) tell(problems []config.Problem) {
	for _, p := range problems {
		log := r.log.Error
		if p.Warning {
			log = r.log.Warn
		}
		attrs := []any{"at", p.Position.String(), "problem", p.Message}
		if p.Hint != "" {
			attrs = append(attrs, "hint", p.Hint)
		}
		log("configuration", attrs...)
	}
}
