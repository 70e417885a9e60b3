//go:build !linux && !windows && !(darwin && cgo)

package source

import (
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// openStore fails: this system has no store for refresh tokens that can be
// used from a program built without cgo, and none is of our making.
func openStore(string) (azidentity.Cache, error) {
	return azidentity.Cache{}, errors.New("this program was built without access to the system's keychain")
}
