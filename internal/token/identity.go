package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
)

// Kinds of an [Identity].
const (
	User        = "user"        // a person, perhaps by way of an application
	Application = "application" // an application or a managed identity, on its own behalf
)

// Identity is whose a token is, as far as it tells. Its strings are short and
// printable; each is empty if unknown.
type Identity struct {
	Name     string // sign-in name of the user, else the application's or object's id
	Kind     string // [User] or [Application]
	TenantID string // of the tenant that issued the token
}

const (
	maxIdentified = 64 << 10 // bytes of a token that is looked into
	maxClaim      = 128      // bytes of a claim in an Identity
)

// Identity returns what t says of whose it is. It reads the payload of a JWT
// (RFC 7519) by the names that Microsoft's "Access token claims reference"
// gives, without verifying the signature: it serves the log, doctor and the
// setting that wants a user's token, not access. A token that is opaque,
// encrypted, or no JSON object with each name once, has the zero Identity.
//
// An Entra access token that was issued to a user has scp (its delegated
// permissions) and one issued to an application alone has not; idtyp says so
// outright where the application asked for it. In doubt it is an application's.
func (t Token) Identity() Identity {
	c := payload(t.Reveal())
	return Identity{Name: c.name(), Kind: c.kind(), TenantID: c.text("tid")}
}

// claims are the members of a JWT's payload. nil has none.
type claims map[string]json.RawMessage

// payload returns the claims of a JWT, nil if value is none.
func payload(value string) claims {
	parts := strings.Split(value, ".")
	if len(parts) != 3 || len(value) > maxIdentified {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	c, err := object(b)
	if err != nil {
		return nil
	}
	return c
}

var errNoObject = errors.New("not one JSON object with each name once")

// object reads a JSON object. Its names are told apart by case, as a struct's
// are not, and none comes twice: two readers may take either.
func object(b []byte) (claims, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errNoObject
	}
	c := claims{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := name.(string) // the decoder admits nothing else here
		if _, twice := c[key]; twice {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		c[key] = value
	}
	if _, err := d.Token(); err != nil || len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return nil, errNoObject
	}
	return c, nil
}

func (c claims) name() string {
	for _, claim := range []string{"upn", "preferred_username", "unique_name", "email", "appid", "azp", "oid"} {
		if s := c.text(claim); s != "" {
			return s
		}
	}
	return ""
}

func (c claims) kind() string {
	_, said := c["idtyp"]
	switch idtyp := c.text("idtyp"); {
	case strings.EqualFold(idtyp, "app"):
		return Application
	case idtyp == "user", !said && c.text("scp") != "":
		return User
	case said:
		return "" // a device, or what may come
	}
	// These come in both kinds of access token, but only an application's lacks
	// the permissions.
	for _, claim := range []string{"roles", "appid", "azp", "appidacr", "azpacr"} {
		if _, ok := c[claim]; ok {
			return Application
		}
	}
	if sub := c.text("sub"); sub != "" && sub == c.text("oid") {
		return Application
	}
	return ""
}

// text returns a claim that is a string, fit for a log: shortened, and with a
// question mark for what would not show, such as a line break or a change of
// the direction of writing.
func (c claims) text(claim string) string {
	var s string
	if json.Unmarshal(c[claim], &s) != nil {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > maxClaim {
		s = strings.ToValidUTF8(s[:maxClaim], "") + "…"
	}
	return s
}
