package source

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// setLimit is how long putting az's default subscription back may take.
const setLimit = 30 * time.Second

// defaults guards az's default subscription while sign-ins go on. Those of
// several tenants may overlap: what was the default before the first of them is
// what the last is to leave.
type defaults struct {
	mu     sync.Mutex
	open   int    // sign-ins that go on
	former string // the default before them; "" for none
}

// begin notes the default of the profile at path, unless another sign-in may
// have changed it already.
func (d *defaults) begin(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == 0 {
		d.former = readProfile(path).byDefault()
	}
	d.open++
}

func (d *defaults) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
}

// lost returns what was the default of the profile at path and no longer is,
// though it is still there; "" if that is nothing.
func (d *defaults) lost(path string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := readProfile(path)
	if d.former == "" || p.byDefault() == d.former || !p.has(d.former) {
		return ""
	}
	return d.former
}

// keepDefault puts az's default subscription back if a sign-in has changed it.
// az makes one of the tenant's the default whenever the former is of another
// tenant, and the user's next command or Terraform would act on that. It is no
// failure of the sign-in if it cannot be.
func (a *Az) keepDefault(ctx context.Context) {
	id := a.tool.defaults.lost(azProfile(a.tool.env))
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, setLimit)
	defer cancel()
	_, _, _ = a.tool.run(ctx, run{sweep: true}, "account", "set", "--subscription", id)
}

// profile is what az's azureProfile.json says of subscriptions, and of tenants
// without one.
type profile struct {
	Subscriptions []struct {
		ID        string `json:"id"`
		IsDefault bool   `json:"isDefault"`
	} `json:"subscriptions"`
}

// readProfile returns an empty profile for one that cannot be read.
func readProfile(path string) (p profile) {
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &p) != nil {
		return profile{}
	}
	return p
}

// subscriptionID is what may be handed to az: nothing that it takes for a flag.
var subscriptionID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,63}$`)

// byDefault returns the ID of the default subscription, "" for none.
func (p profile) byDefault() string {
	for _, s := range p.Subscriptions {
		if s.IsDefault && subscriptionID.MatchString(s.ID) {
			return s.ID
		}
	}
	return ""
}

func (p profile) has(id string) bool {
	for _, s := range p.Subscriptions {
		if s.ID == id {
			return true
		}
	}
	return false
}

func azProfile(env []string) string { return filepath.Join(azDir(env), "azureProfile.json") }

// azDir is where az keeps what it knows.
func azDir(env []string) string {
	if dir, _ := variable(env, "AZURE_CONFIG_DIR"); dir != "" {
		return dir
	}
	return filepath.Join(home(env), ".azure")
}
