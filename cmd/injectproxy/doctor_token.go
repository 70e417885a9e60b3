package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/source"
	"github.com/injectproxy/injectproxy/internal/token"
)

// examineAz looks at the version of az, if an audience has it among its
// sources. That there is none is a failure of the audience that needs it.
func (d *doctor) examineAz(ctx context.Context) []finding {
	i := slices.IndexFunc(d.cfg.Audiences, func(a *config.Audience) bool { return isEntra(a) && slices.Contains(sourcesOf(a), "az") })
	if i < 0 {
		return nil
	}
	az, err := d.login.tools.Az(entraOf(d.cfg.Audiences[i]))
	if err != nil {
		return nil // the audience has the failure
	}
	version, err := az.Version(ctx)
	if err != nil {
		return nil
	}
	f := finding{"az", stateOK, version, "is installed", ""}
	switch {
	case !source.AtLeast(version, 2, 30):
		f.Status, f.Detail, f.Remedy = stateFail, "is too old to give tokens by their scope: 2.30 is the first that does", "az upgrade"
	case !source.AtLeast(version, 2, 76):
		f.Status, f.Detail, f.Remedy = stateWarn, "cannot sign in again when an API wants more of a sign-in (a claims challenge): 2.76 is the first that can", "az upgrade"
	}
	return []finding{f}
}

// examineToken asks for one token of a, and looks whom it is for.
func (d *doctor) examineToken(ctx context.Context, a *config.Audience) []finding {
	f := finding{Check: "token", Status: stateFail, Subject: a.Name}
	src, end, err := d.login.supply(a)
	if err != nil {
		f.Detail, f.Remedy = err.Error(), "change "+a.Pos.String()
		return []finding{f}
	}
	defer end()
	t, err := d.login.token(ctx, a, src)
	if err != nil {
		f.Detail, f.Remedy = err.Error(), ""
		if e, ok := errors.AsType[*token.Error](err); ok {
			f.Remedy = e.Hint
		}
		// A command that can be pasted, and what else may help behind the reason.
		if command, otherwise, ok := strings.Cut(f.Remedy, ", or "); ok && strings.HasPrefix(command, "az ") {
			f.Remedy, f.Detail = command, f.Detail+"; if this does not help, "+otherwise
		}
		return []finding{f}
	}
	return []finding{d.judge(f, a, t)}
}

// judge completes f for the token that came.
func (d *doctor) judge(f finding, a *config.Audience, t token.Token) finding {
	if got := t.Audience(); len(got) > 0 && !slices.ContainsFunc(got, func(aud string) bool { return meant(a, aud) }) {
		f.Detail = fmt.Sprintf("%s gave a token for %s, not for %s", t.Source(), strings.Join(got, ", "), named(a))
		f.Remedy = fmt.Sprintf("check client_id, resource or scope at %s: the API is the one that its owner calls by that ID", a.Pos)
		return f
	}
	until := "with no end that it tells"
	if !t.Expiry().IsZero() {
		until = "until " + t.Expiry().UTC().Format(time.RFC3339)
		if left := time.Until(t.Expiry()); left < time.Minute {
			f.Detail, f.Remedy = fmt.Sprintf("%s gave a token that ends within a minute (%s)", t.Source(), until), "check the clock of this machine, and what makes the token"
			return f
		}
	}
	f.Status, f.Detail = stateOK, fmt.Sprintf("from %s, for %s, as %s, %s", t.Source(), whom(t), orUnknown(t.Identity().Name), until)
	return f
}

func whom(t token.Token) string {
	if aud := t.Audience(); len(aud) > 0 {
		return strings.Join(aud, ", ")
	}
	return "an audience that it does not name"
}

// named is what the configuration calls the audience.
func named(a *config.Audience) string {
	for _, s := range []string{a.ClientID, a.Resource, a.Scope} {
		if s != "" {
			return s
		}
	}
	return a.Name
}

// meant reports whether a token's aud is the audience a. An API chooses the
// version of its tokens: those of v2 have its application ID, those of v1 the
// URI that was asked for. Which ID belongs to a URI only the tenant knows, so
// that any GUID may be that of a resource with a name. What is not Entra's has
// no audience that could be told.
func meant(a *config.Audience, aud string) bool {
	if !isEntra(a) {
		return true
	}
	want := a.ClientID
	switch {
	case a.Resource != "":
		want = a.Resource
	case a.Scope != "":
		want = a.Scope[:max(strings.LastIndexByte(a.Scope, '/'), 0)] // the last segment is the permission
		if want == "" {
			return true // a scope of Microsoft Graph
		}
	}
	want, aud = bareAudience(want), bareAudience(aud)
	return want == aud || !looksLikeGUID(want) && looksLikeGUID(aud)
}

// bareAudience leaves of an App ID URI what tells it from others.
func bareAudience(s string) string {
	return strings.TrimPrefix(strings.TrimRight(strings.ToLower(s), "/"), "api://")
}

func looksLikeGUID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && strings.Trim(s, "0123456789abcdef-") == ""
}
