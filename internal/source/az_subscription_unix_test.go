//go:build unix

package source

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
)

// profileOf is az's profile with the subscriptions of those IDs, the first of
// them the default, as az writes it.
func profileOf(ids ...string) string {
	type subscription struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		IsDefault bool   `json:"isDefault"`
	}
	all := []subscription{}
	for i, id := range ids {
		all = append(all, subscription{id, "Subscription " + id, i == 0})
	}
	slices.SortFunc(all, func(a, b subscription) int { return len(a.ID) - len(b.ID) }) // the default is anywhere
	b, _ := json.Marshal(map[string]any{"installationId": "x", "subscriptions": all})
	return "\ufeff" + string(b)
}

const subOld, subOther, subThird = "58348f96-645d-4a2e-8c1d-0000000000d1", "58348f96-645d-4a2e-8c1d-d2", "d3"

// sets returns what az account set was run with.
func (s *stage) sets() (ids []string) {
	for _, c := range s.calls() {
		if len(c.Args) > 1 && c.Args[0] == "account" {
			ids = append(ids, c.Args[1:]...)
		}
	}
	return ids
}

// The user's next command would act on another subscription than they think.
func TestSignInLeavesTheDefaultSubscriptionWhatItWas(t *testing.T) {
	t.Parallel()
	back := []string{"set", "--subscription", subOld}
	for name, c := range map[string]struct {
		before, after string
		exit          int
		want          []string
	}{
		"another is the default":   {profileOf(subOld), profileOf(subOther, subOld), 0, back},
		"one of several":           {profileOf(subOld, subThird, subOther), profileOf(subThird, subOld, subOther), 0, back},
		"none is the default":      {profileOf(subOld), `{"subscriptions": [{"id": "` + subOld + `"}]}`, 0, back},
		"it still is":              {profileOf(subOld), profileOf(subOld, subOther), 0, nil},
		"it is gone":               {profileOf(subOld), profileOf(subOther), 0, nil},
		"there was none":           {profileOf(), profileOf(subOther), 0, nil},
		"there was no profile":     {"", profileOf(subOther, subOld), 0, nil},
		"there was no JSON":        {"{", profileOf(subOther, subOld), 0, nil},
		"there is no JSON":         {profileOf(subOld), "{", 0, nil},
		"an ID that is none":       {profileOf("--debug"), profileOf(subOther, "--debug"), 0, nil},
		"the sign-in did not work": {profileOf(subOld), profileOf(subOther, subOld), 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := newStage(t, []string{"az"}, "AZURE_CONFIG_DIR="+dir, "DISPLAY=:0")
			if c.before != "" {
				write(t, filepath.Join(dir, "azureProfile.json"), c.before)
			}
			s.plays("login", part{Profile: c.after, Exit: c.exit})
			s.plays("account", part{Exit: 1, Stderr: canary}) // which is not the sign-in's failure
			err := s.az(Entra{ClientID: api, Tenant: tenant}).SignIn(t.Context(), "", func(string) {})
			if (err == nil) != (c.exit == 0) {
				t.Error(err)
			}
			if got := s.sets(); !slices.Equal(got, c.want) {
				t.Errorf("ran az account %q, want %q", got, c.want)
			}
		})
	}
}

// Of sign-ins that overlap, none takes what another has made the default for
// what the user wants.
func TestSignInsThatOverlapLeaveTheDefaultSubscriptionWhatItWas(t *testing.T) {
	t.Parallel()
	w, dir := newWitness(t), t.TempDir()
	s := newStage(t, []string{"az"}, "AZURE_CONFIG_DIR="+dir, "DISPLAY=:0")
	path := filepath.Join(dir, "azureProfile.json")
	write(t, path, profileOf(subOld))
	tools := s.tools()
	az := func(tenant string) *Az {
		a, err := tools.Az(Entra{ClientID: api, Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	s.plays("account", part{})
	s.plays("login", part{Profile: profileOf(subOther, subOld), Hold: w.address()})
	first := later(func() error { return az(tenant).SignIn(t.Context(), "", func(string) {}) })
	c := w.meet()
	s.plays("login", part{Profile: profileOf(subThird, subOther, subOld)})
	if err := az(tenant2).SignIn(t.Context(), "", func(string) {}); err != nil {
		t.Error(err)
	}
	release(c)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got, want := s.sets(), []string{"set", "--subscription", subOld, "set", "--subscription", subOld}; !slices.Equal(got, want) {
		t.Errorf("ran az account %q, want %q", got, want)
	}

	// What the user chooses afterwards is theirs.
	write(t, path, profileOf(subThird, subOther, subOld))
	s.plays("login", part{Profile: profileOf(subOther, subThird, subOld)})
	if err := az(tenant).SignIn(t.Context(), "", func(string) {}); err != nil {
		t.Error(err)
	}
	if got := s.sets(); got[len(got)-1] != subThird {
		t.Errorf("ran az account %q, want %q at the end", got, subThird)
	}
}
