package entratest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// policies is what Conditional Access demands of users before an API may act on
// their behalf. The zero policies demands nothing.
type policies struct {
	mu       sync.Mutex
	required map[audienceOf]string // authentication context, such as c1
}

// audienceOf is a user's use of an API. The user "" is everybody.
type audienceOf struct{ user, resource string }

// RequireContext has Conditional Access demand an authentication context, such as
// c1, of that user before an API gets a token for resource on their behalf: as long
// as the assertion's acrs claim lacks it, the request fails with AADSTS50076 and
// [ContextClaims]. "" stands for every user; the context "" ends the demand.
//
// https://learn.microsoft.com/entra/identity-platform/developer-guide-conditional-access-authentication-context
func (a *Authority) RequireContext(userObjectID, resource, context string) error {
	found := a.findResource(resource)
	if found == nil {
		return fmt.Errorf("simulated authority: no resource %q", resource)
	}
	p, key := &a.policies, audienceOf{userObjectID, found.ID}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.required == nil {
		p.required = make(map[audienceOf]string)
	}
	if p.required[key] = context; context == "" {
		delete(p.required, key)
	}
	return nil
}

// check returns the challenge that who has yet to meet, or nil.
func (p *policies) check(who caller, resource string) *Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range []string{who.user.ObjectID, ""} {
		context, demanded := p.required[audienceOf{user, resource}]
		if demanded && !slices.Contains(who.contexts, context) {
			f := failWith(50076)
			f.Claims = ContextClaims(context)
			return f
		}
	}
	return nil
}

// ContextClaims returns the claims challenge that demands an authentication
// context. A token requested with it in the claims parameter has the context in
// its acrs claim.
func ContextClaims(context string) string {
	return fmt.Sprintf(`{"access_token":{"acrs":{"essential":true,"value":%q}}}`, context)
}

// askedContexts returns the authentication contexts that a claims parameter asks
// for (OpenID Connect Core 1.0 section 5.5). One that cannot be read asks for none.
func askedContexts(claims string) []string {
	var asked struct {
		Token struct {
			Contexts struct {
				Value  string   `json:"value"`
				Values []string `json:"values"`
			} `json:"acrs"`
		} `json:"access_token"`
	}
	if json.Unmarshal([]byte(claims), &asked) != nil {
		return nil
	}
	all := asked.Token.Contexts.Values
	if one := asked.Token.Contexts.Value; one != "" {
		all = append(all, one)
	}
	return all
}

// contextClaim returns the claim that says which authentication contexts a token
// has, or none.
func contextClaim(contexts []string) map[string]any {
	if len(contexts) == 0 {
		return nil
	}
	slices.Sort(contexts)
	return map[string]any{"acrs": slices.Compact(contexts)}
}
