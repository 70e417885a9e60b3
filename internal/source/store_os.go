//go:build linux || windows || (darwin && cgo)

package source

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity/cache"
)

// openStore opens the system's store for refresh tokens: a file that the user's
// kernel keyring has the key of (Linux), that DPAPI encrypts (Windows), or the
// keychain (macOS). It fails where the system has none, as in a container that
// may not call keyctl.
//
// On Linux the key lives in the kernel's memory: it is gone after a restart of
// the machine, or when nobody has used it for some days, and with it the
// sign-ins.
func openStore(name string) (azidentity.Cache, error) {
	return cache.New(&cache.Options{Name: name})
}
