package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/token"
)

// supply is where the tokens of an audience come from. Audiences that mean the
// same share one, and so do generations that do not change it.
type supply struct {
	*token.Cache
	key      string           // the same for whatever would be the same supply
	audience *config.Audience // that it is named after
	end      func()           // ends its source
	users    int              // generations that have taken over; guarded by the instance
}

// close ends the supply. Nobody asks it any more.
func (s *supply) close() {
	s.Close()
	s.end()
}

// supplyKey tells supplies apart: by what an audience is called, since messages
// name it, by what it means, and by how its tokens are kept.
func supplyKey(cfg *config.Config, a *config.Audience) string {
	return fmt.Sprintf("%q", []any{
		a.Team, a.Name, a.ClientID, a.Resource, a.Scope, tenantKey(a), a.TokenEnv, a.TokenFile, a.TokenCommand,
		sourcesOf(a), a.Identity, cfg.Token.RefreshMargin, cfg.Token.Timeout,
	})
}

// supply finds or makes the supply of each audience of g. Those that are as
// they were in the generation before keep theirs: tokens that people had to
// sign in for, and refreshes that are under way.
func (in *instance) supply(g *generation) error {
	kept := map[string]*supply{}
	if in.current != nil {
		for _, s := range in.current.supplies {
			kept[s.key] = s
		}
	}
	alike, err := in.keep(g, kept)
	if err != nil {
		return err
	}
	for _, a := range g.cfg.Audiences {
		key, err := meaning(a)
		if err != nil {
			return fmt.Errorf("audience %s: %w", a.Name, err)
		}
		s := g.supplies[a]
		if s == nil && key != "" {
			s = alike[key]
		}
		if s == nil {
			if s, err = in.newSupply(g.cfg, a); err != nil {
				return fmt.Errorf("audience %s: %w", a.Name, err)
			}
		}
		g.supplies[a], alike[key] = s, s
	}
	return nil
}

// keep gives g what is kept, and returns it by its meaning.
func (in *instance) keep(g *generation, kept map[string]*supply) (alike map[string]*supply, err error) {
	alike = map[string]*supply{}
	for _, a := range g.cfg.Audiences {
		s := kept[supplyKey(g.cfg, a)]
		if s == nil {
			continue
		}
		key, err := meaning(a)
		if err != nil {
			return nil, fmt.Errorf("audience %s: %w", a.Name, err)
		}
		if key == "" || alike[key] == nil {
			g.supplies[a], alike[key] = s, s
		}
	}
	return alike, nil
}

func (in *instance) newSupply(cfg *config.Config, a *config.Audience) (*supply, error) {
	src, end, err := in.sources.supply(a)
	if err != nil {
		return nil, err
	}
	return &supply{
		Cache: token.NewCache(withProgress(src, in.around.progress, a.Name), token.Options{
			Name: a.Name, Margin: cfg.Token.RefreshMargin, Timeout: cfg.Token.Timeout, Now: in.around.now, Log: in.around.log,
			Around: in.watch.acquisition(a),
		}),
		key: supplyKey(cfg, a), audience: a, end: end,
	}, nil
}

// distinct returns each supply of g once.
func (g *generation) distinct() map[*supply]bool {
	set := map[*supply]bool{}
	for _, s := range g.supplies {
		set[s] = true
	}
	return set
}

// release ends those supplies of g that no other generation has.
func (in *instance) release(g *generation) {
	in.mu.Lock()
	unused := slices.DeleteFunc(slices.Collect(maps.Keys(g.distinct())), func(s *supply) bool {
		s.users--
		return s.users > 0
	})
	delete(in.generations, g)
	in.mu.Unlock()
	for _, s := range unused { // which may wait for a source
		s.close()
	}
}
