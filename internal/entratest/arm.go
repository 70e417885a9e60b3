package entratest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// ARM returns Azure Resource Manager as a resource to register: what az asks
// for at each sign-in, whatever it is to sign in for, to list subscriptions.
func ARM() Resource {
	return Resource{
		ID: "797f4846-ba00-4fd7-ba43-dac1f8f63013", // the same in every tenant
		URIs: []string{
			"https://management.core.windows.net", "https://management.core.windows.net/",
			"https://management.azure.com", "https://management.azure.com/",
		},
		Scopes: []string{"user_impersonation"},
	}
}

// resourceManager lets f answer whoever has a token for [ARM].
func (a *Authority) resourceManager(f func(tenant string) []any) answer {
	return func(r *http.Request, _ Request) (any, *Failure) {
		claims, err := a.bearerClaims(r, ARM().ID)
		if err != nil {
			return nil, &Failure{Status: http.StatusUnauthorized, Error: "AuthenticationFailed", Description: err.Error()}
		}
		tenant, _ := claims["tid"].(string)
		return map[string]any{"value": f(tenant)}, nil
	}
}

// bearerClaims returns the claims of the token that r comes with, which is to be
// for that resource.
func (a *Authority) bearerClaims(r *http.Request, resource string) (map[string]any, error) {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errors.New("the 'Authorization' header is missing")
	}
	return a.Validate(bearer, resource)
}

// listTenants is what a person belongs to.
//
// https://learn.microsoft.com/rest/api/resources/tenants/list
func (a *Authority) listTenants(string) []any {
	list := []any{}
	for _, id := range a.tenants {
		list = append(list, map[string]any{
			"id": "/tenants/" + id, "tenantId": id, "tenantCategory": "Home", "countryCode": "CH",
			"displayName": "Simulated", "domains": []string{id + ".example"},
		})
	}
	return list
}

// listSubscriptions is what a token's tenant pays for.
//
// https://learn.microsoft.com/rest/api/resources/subscriptions/list
func (a *Authority) listSubscriptions(tenant string) []any {
	list := []any{}
	if !slices.Contains(a.subscribed, tenant) {
		return list
	}
	id := uuid.NewSHA1(uuid.Nil, []byte("subscription of "+tenant)).String()
	return append(list, map[string]any{
		"id": "/subscriptions/" + id, "subscriptionId": id, "tenantId": tenant, "state": "Enabled",
		"displayName": "Simulated", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	})
}

// armError returns f as Azure Resource Manager writes it.
func armError(f Failure) map[string]any {
	return map[string]any{"error": map[string]any{"code": f.Error, "message": f.Description}}
}
