package verify

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken is how long a token may be, in bytes. Entra's have some 1 to 6 KiB.
const maxToken = 16 << 10

// unverified is a token that says the right things. Only verify shows that it
// is Entra who says them.
type unverified struct {
	raw      string
	alg, kid string
	caller   *Caller
}

// read returns what token says, or what is wrong with it that can be seen
// without a key.
func (r *rules) read(token string, now time.Time) (*unverified, error) {
	switch dots := strings.Count(token, "."); {
	case dots == 4:
		return nil, invalid(Malformed, "the token is encrypted; it has to be a signed JWT")
	case dots != 2 || strings.ContainsAny(token, "\r\n"): // which encoding/base64 skips
		return nil, invalid(Malformed, "the token is not a signed JWT")
	}
	parts := strings.Split(token, ".")
	header, err := decode(parts[0])
	if err != nil {
		return nil, invalid(Malformed, "the header of the token cannot be read")
	}
	t := &unverified{raw: token}
	if err := t.readHeader(header, r.algorithms); err != nil {
		return nil, err
	}
	claims, err := decode(parts[1])
	if err != nil {
		return nil, invalid(Malformed, "the claims of the token cannot be read, or one of them stands twice")
	}
	var refused *Invalid
	if t.caller, refused = r.judge(claims, now); refused != nil {
		return nil, refused
	}
	return t, nil
}

// decode reads one part of a compact JWS (RFC 7515, section 7.1).
func decode(part string) (object, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errShape
	}
	return readObject(data)
}

// readHeader takes from the header what Entra's has, and refuses what would
// change the meaning of the rest. Where a header says to find a key (jwk, jku,
// x5c, x5u) is not looked at.
func (t *unverified) readHeader(header object, algorithms []string) error {
	alg, err := header.text("alg")
	if err != nil || !slices.Contains(algorithms, alg) {
		return invalid(Algorithm, "the token is not signed by "+strings.Join(algorithms, " or "))
	}
	for _, name := range []string{"crit", "b64", "cty", "enc", "zip"} {
		if _, ok := header[name]; ok {
			return invalid(Malformed, "the header of the token has the member "+name+", which no access token of Entra has")
		}
	}
	typ, err := header.text("typ")
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if err != nil || typ != "" && typ != "jwt" && typ != "at+jwt" {
		return invalid(Malformed, "the token is not of the type JWT")
	}
	kid, err := header.text("kid")
	if err != nil || kid == "" || len(kid) > maxKeyID {
		return invalid(Key, "the token does not name the key that signed it")
	}
	t.alg, t.kid = alg, kid
	return nil
}

// verify reports whether key signed the token.
func (t *unverified) verify(key *publicKey) error {
	if key.alg != t.alg {
		return invalid(Algorithm, "the key that the token names is not for the algorithm of the token")
	}
	// The claims were judged: the library's own judge takes dates that wrap around.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{key.alg}), jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(t.raw, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key.public, nil })
	if err != nil {
		return invalid(Signature, "the signature of the token is wrong")
	}
	return nil
}
