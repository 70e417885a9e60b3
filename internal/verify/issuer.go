package verify

import "strings"

// issuers are what tokens of one tenant say they were issued by.
type issuers struct{ v1, v2 string }

// issuersOf returns what tenant's tokens say, where its authority is authority:
// the cloud's own names, whichever of them it is reached by.
//
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
func issuersOf(authority, tenant string) issuers {
	cloud := canonical(authority)
	v1 := "https://sts.windows.net/"
	if cloud == "https://login.partner.microsoftonline.cn" {
		v1 = "https://sts.chinacloudapi.cn/"
	}
	return issuers{v1: v1 + tenant + "/", v2: cloud + "/" + tenant + "/v2.0"}
}

// canonical returns the name that tokens have for the cloud behind authority.
func canonical(authority string) string {
	switch authority = strings.ToLower(authority); authority {
	case "https://login.windows.net", "https://login.microsoft.com", "https://sts.windows.net":
		return publicAuthority
	case "https://login.chinacloudapi.cn":
		return "https://login.partner.microsoftonline.cn"
	case "https://login.usgovcloudapi.net":
		return "https://login.microsoftonline.us"
	}
	return authority
}

// published reports whether a published key that is said to be issuer's may
// prove tokens of these issuers. What says nothing is the tenant's, which was
// asked; keys that all tenants share have a placeholder.
func (i issuers) published(issuer, tenant string) bool {
	issuer = strings.ReplaceAll(issuer, "{tenantid}", tenant)
	return issuer == "" || issuer == i.v1 || issuer == i.v2
}
