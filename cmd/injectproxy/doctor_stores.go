package main

import (
	"context"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/trust"
)

// examineStores tells which trust stores still have a root that was in use
// before, and not the one that is: their programs trusted serve, and do not any
// more. Without a root that was retired none is looked at, which takes time, as
// who goes by variables needs no store.
func (d *doctor) examineStores(ctx context.Context) (findings []finding) {
	if d.authority == nil {
		return nil
	}
	retired, err := ca.Retired(caDir(d.home))
	if err != nil || len(retired) == 0 {
		return nil
	}
	machine, err := trust.Here()
	if err != nil {
		return nil
	}
	for _, store := range machine.Stores(trust.Kinds()) {
		before := false
		for _, root := range retired {
			plan, err := store.Uninstall(ctx, root)
			before = before || err == nil && !plan.Done()
		}
		now, err := store.Install(ctx, d.authority.Root(), d.authority.RootFile())
		switch {
		case !before:
		case err == nil && now.Done():
			findings = append(findings, finding{"store", stateOK, store.Name, "trusts the CA; the one before it too (injectproxy ca uninstall --retired)", ""})
		case err == nil:
			findings = append(findings, finding{"store", stateFail, store.Name, "trusts the CA that was in use before, and not the one that is", "injectproxy ca install --store " + string(store.Kind)})
		}
	}
	return findings
}
