package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// stepOnBehalf goes the whole way: client, proxy, gate, server.
func stepOnBehalf(ctx context.Context, w *demoWorld) ([]string, error) {
	refused, h, err := w.ask(ctx, w.direct, "initialize", nil)
	if err != nil {
		return nil, err
	}
	if refused.status != http.StatusUnauthorized || !strings.Contains(h.Get("WWW-Authenticate"), "resource_metadata=") {
		return nil, fmt.Errorf("without the proxy the gate should have answered 401 and where to get a token, not %d", refused.status)
	}
	saw := []string{fmt.Sprintf("POST %s without a token → 401, and where to get one", w.gateURL)}
	n, people := w.reports.count(), w.signIns()
	if _, _, err := w.ask(ctx, w.through, "initialize", map[string]any{"protocolVersion": demoVersion}); err != nil {
		return saw, err
	}
	a, err := w.tool(ctx, "whoami")
	if err != nil {
		return saw, err
	}
	seen, asked := w.reports.since(n), w.signIns()-people
	saw = append(saw, fmt.Sprintf("by way of proxy and gate: whoami → %d, known as %s, who was asked to sign in %d time(s)", a.status, a.text(), asked))
	if other := w.strangers(seen); other > 0 || len(seen) != 2 {
		return append(saw, fmt.Sprintf("the server saw %d requests, %d of them with another token than one for it, or none", len(seen), other)),
			errors.New("it should have seen two, each with a token that the gate got in exchange for the user's")
	}
	saw = append(saw, "the server saw only tokens for its own API, which the gate got in exchange for the user's")
	known := a.status == http.StatusOK && a.text() == demoUser.Username
	return saw, expect(nil, known && asked == 1, "%s should have been known, and asked to sign in once", demoUser.Username)
}

// stepTools asks for what the gate grants to nobody who lacks a scope.
func stepTools(ctx context.Context, w *demoWorld) ([]string, error) {
	list, _, err := w.ask(ctx, w.through, "tools/list", nil)
	if err != nil {
		return nil, err
	}
	saw := []string{fmt.Sprintf("the server has the tools %s; the client is shown %s", strings.Join(demoTools, ", "), strings.Join(list.tools(), ", "))}
	n := w.reports.count()
	a, err := w.tool(ctx, "delete_reports")
	if err != nil {
		return saw, err
	}
	reached := w.reports.count() - n
	if a.Error == nil {
		return saw, fmt.Errorf("delete_reports was answered with %d %q, and reached the server %d time(s)", a.status, a.text(), reached)
	}
	saw = append(saw, fmt.Sprintf("delete_reports → error %d, and the server was called %d time(s)", a.Error.Code, reached), a.Error.Message)
	return saw, expect(nil, reached == 0 && slices.Equal(list.tools(), []string{"whoami"}), "delete_reports should be neither listed nor passed on")
}

// demoContext is the authentication context that Conditional Access comes to demand.
const demoContext = "c1"

// stepChallenged has Conditional Access demand more of the user, and the server
// refuse the token that it was shown until then, so that a new one is needed.
func stepChallenged(ctx context.Context, w *demoWorld) ([]string, error) {
	if err := w.demand(ctx); err != nil {
		return nil, err
	}
	n, door, before, people := w.reports.count(), len(w.door(0)), w.counts(), w.signIns()
	a, err := w.tool(ctx, "whoami")
	if err != nil {
		return nil, err
	}
	server, gate, now := statuses(w.reports.since(n)), statuses(w.door(door)), w.counts()
	saw := []string{
		fmt.Sprintf("Conditional Access demands authentication context %s now, and the server's token is revoked", demoContext),
		fmt.Sprintf("the server saw %s; the gate answered %s; the client saw %d", server, gate, a.status),
		fmt.Sprintf("Entra refused %d exchange(s), gave the proxy %d token(s) with %s, and made %d exchange(s)",
			now.refused-before.refused, now.renewed-before.renewed, demoContext, now.exchanged-before.exchanged),
		fmt.Sprintf("%s was asked to sign in %d time(s)", demoUser.Username, w.signIns()-people),
	}
	switch {
	case a.status != http.StatusOK || a.text() != demoUser.Username:
		return saw, errors.New("the client should have seen 200, and the server known its user")
	case server != "401, then 200" || gate != "403, then 200":
		return saw, errors.New("the gate should have answered 403 with the claims, and the proxy met them")
	}
	once := demoCounts{before.refused + 1, before.renewed + 1, before.exchanged + 1}
	return saw, expect(nil, now == once && w.signIns() == people, "Entra should have been asked once for each, and nobody to sign in")
}

// demand has one exchanged token in use, and then the next one cost the user more.
func (w *demoWorld) demand(ctx context.Context) error {
	n := w.reports.count()
	a, err := w.tool(ctx, "whoami")
	if err != nil {
		return err
	}
	seen := w.reports.since(n)
	if a.status != http.StatusOK || len(seen) != 1 {
		return fmt.Errorf("before anything was demanded, whoami was answered with status %d", a.status)
	}
	w.entra.Revoke(seen[0].bearer)
	return w.entra.RequireContext(demoUser.ObjectID, demoReports, demoContext)
}

// demoCounts is what Entra did for the user.
type demoCounts struct {
	refused   int // exchanges, for want of the context
	renewed   int // tokens for the gate with it, without a sign-in
	exchanged int
}

func (w *demoWorld) counts() (c demoCounts) {
	for _, r := range w.entra.Requests() {
		switch {
		case r.Grant == entratest.OnBehalfOf && r.Code == 50076:
			c.refused++
		case r.Grant == entratest.OnBehalfOf && r.Status == http.StatusOK:
			c.exchanged++
		case r.Grant == "refresh_token" && r.Status == http.StatusOK && strings.Contains(r.Claims, strconv.Quote(demoContext)):
			c.renewed++
		}
	}
	return c
}

// signIns is how often a person was asked to sign in.
func (w *demoWorld) signIns() int {
	return w.entra.Count(entratest.Request{Endpoint: entratest.DeviceCodeEndpoint})
}
