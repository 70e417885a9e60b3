package exchange

import "net/url"

// ConsentURL is where an administrator of the tenant consents for all its users to
// what the application asks for. The authority is a base URL without a slash at its
// end.
//
// https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
func ConsentURL(authority, tenant, client string) string {
	return authority + "/" + url.PathEscape(tenant) + "/adminconsent?client_id=" + url.QueryEscape(client)
}
