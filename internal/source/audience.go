// Package source yields tokens, one file per kind of credential: an
// environment variable, a file, a command, and for Microsoft Entra azidentity's
// DefaultAzureCredential, the Azure tools, and people who sign in by device
// code or in a browser.
//
// It refuses to cache (the cache above does that, and a sign-in is kept by the
// tool or the system's own store), to run a shell, to use the
// environment's proxy, and to repeat in an error what a file, a command or an
// identity service said: any of it may hold a secret. Every failure is a
// [token.Error] with a class and a hint that is a command or a setting.
package source

import (
	"errors"
	"fmt"
	"strings"
)

// Entra is an audience of Microsoft Entra: exactly one of ClientID, Resource
// and Scope, and optionally the tenant to ask.
type Entra struct {
	ClientID string // application ID of an API whose App ID URI is api://<ClientID>
	Resource string // App ID URI
	Scope    string // taken as it is
	Tenant   string // GUID or domain; "" leaves it to the credential
}

// Audience is what an [Entra] audience means on the wire.
type Audience struct {
	Scope  string   // the scope of an OAuth 2.0 token request (RFC 6749, section 3.3)
	AzArgs []string // what az account get-access-token and az login take to mean the same
}

// Resolve turns e into what is asked for. It fails unless exactly one field
// names the audience and all of it is made of characters that identity
// service and command line tools alike take.
//
// A resource loses its trailing slashes: with and without them Entra issues
// tokens with different aud, and the one without is what APIs expect. An API
// that does want the slash has its scope spelt out.
func (e Entra) Resolve() (Audience, error) {
	if err := e.check(); err != nil {
		return Audience{}, err
	}
	switch {
	case e.ClientID != "":
		scope := "api://" + e.ClientID + "/.default"
		return Audience{Scope: scope, AzArgs: []string{"--scope", scope}}, nil
	case e.Resource != "":
		resource := strings.TrimRight(e.Resource, "/")
		return Audience{Scope: resource + "/.default", AzArgs: []string{"--resource", resource}}, nil
	default:
		return Audience{Scope: e.Scope, AzArgs: []string{"--scope", e.Scope}}, nil
	}
}

func (e Entra) check() error {
	named := 0
	for _, f := range []struct{ key, value, extra string }{
		{"client_id", e.ClientID, "._-"},
		{"resource", e.Resource, "./:_-"},
		{"scope", e.Scope, "./:_-"},
	} {
		if f.value == "" {
			continue
		}
		named++
		// A leading hyphen would be an option to az.
		if !only(f.value, f.extra) || f.value[0] == '-' || strings.Trim(f.value, "/") == "" {
			return fmt.Errorf("%s %q is not one that Entra knows: letters, digits and %s", f.key, f.value, f.extra)
		}
	}
	if named != 1 {
		return errors.New("an audience needs exactly one of client_id, resource and scope")
	}
	if !only(e.Tenant, ".-") || strings.HasPrefix(e.Tenant, "-") {
		return fmt.Errorf("tenant %q is neither a GUID nor a domain", e.Tenant)
	}
	return nil
}

// only reports whether s has nothing but ASCII letters, digits and extra.
func only(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
