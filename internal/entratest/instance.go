package entratest

import (
	"net/http"
	"net/url"
)

// instances answers who asks which hosts are an authority (instance
// discovery): this one is, and has no other name. MSAL asks that at
// login.microsoftonline.com, whatever authority it is to use.
//
// https://learn.microsoft.com/entra/msal/dotnet/advanced/instance-discovery
func (a *Authority) instances(r *http.Request, _ Request) (any, *Failure) {
	own, err := url.Parse(a.url)
	if err != nil {
		return nil, &Failure{Description: err.Error()}
	}
	asked, err := url.Parse(r.Form.Get("authorization_endpoint"))
	// MSAL for Python leaves out the port.
	if err != nil || asked.Hostname() != own.Hostname() {
		return nil, failWith(50049)
	}
	host := own.Hostname()
	return map[string]any{
		"tenant_discovery_endpoint": a.url + "/common/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata":                  []any{map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
	}, nil
}
