package source

import (
	"os"

	"github.com/injectproxy/injectproxy/internal/token"
)

const setVariables = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"

// unconfigured says what the environment lacks. Whole means that it lacks
// nothing, and holds a credential that cannot be used: no other one may step in
// for that, as while a certificate is being replaced.
func unconfigured() (r reason, whole bool) {
	if chosen := os.Getenv(chainVariable); chosen != "" && chosen != "prod" {
		return reason{token.Misconfigured, chainVariable + "=" + chosen + " gave no token",
			"{login}, or unset " + chainVariable}, false
	}
	for _, secret := range []string{"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"} {
		if os.Getenv(secret) == "" {
			continue
		}
		for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID"} {
			if os.Getenv(name) == "" {
				return reason{token.Misconfigured, secret + " is set, but " + name + " is not", "set " + name}, false
			}
		}
		return reason{token.Misconfigured, secret + " is set, but cannot be used",
			"check " + secret + " (a certificate is PEM or PKCS#12, its password in AZURE_CLIENT_CERTIFICATE_PASSWORD), AZURE_TENANT_ID and AZURE_CLIENT_ID"}, true
	}
	return reason{token.Misconfigured, "neither a client, nor a workload identity, nor a managed identity is configured",
		setVariables + ", or run where an identity is assigned"}, false
}

func unreadable(path string) bool {
	if path == "" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	f.Close()
	return false
}
