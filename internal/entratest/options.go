package entratest

import (
	"crypto/tls"
	"time"
)

// Options describes the directory to simulate.
type Options struct {
	Tenants   []string // tenant ids (GUIDs), at least one; managed identities live in the first
	Clients   []Client
	Resources []Resource

	Subscribed []string // tenants that have a subscription, for Azure Resource Manager to list

	Lifetime time.Duration    // of access tokens, in whole seconds; 0 means one hour
	Now      func() time.Time // clock of the tokens; nil means time.Now

	Host        string           // host name in URLs, which must resolve to loopback; "" means 127.0.0.1
	Certificate *tls.Certificate // to serve with; nil means one made at start, for Host, localhost, 127.0.0.1 and ::1

	// Public has the authority stand in for the public cloud: it is
	// https://login.microsoftonline.com, Azure Resource Manager is
	// https://management.azure.com and Microsoft Graph https://graph.microsoft.com,
	// all reached by [Authority.ProxyURL] alone.
	// Host is without effect.
	Public bool
}
