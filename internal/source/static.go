package source

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// maxToken bounds what a variable, file or command may hold. Servers refuse
// headers well below it.
const maxToken = 64 << 10

// maxEpoch is the last second of the year 9999, beyond which time.Time no
// longer formats. Milliseconds given for seconds lie beyond it too.
const maxEpoch = 253402300799

// forced reports whether the caller wants another token than the one that a
// source may remember.
func forced(ask token.Ask) bool { return !ask.Rejected.IsZero() || ask.Claims != "" }

// origin is where the user keeps a token.
type origin struct {
	key  string // in the configuration, and the token's source
	name string // of the variable, file or program
	hint string // that goes into every error
}

// fail says what is wrong with what has that name. It may be put right at any
// time, and looking again costs little.
func (o origin) fail(class token.Class, what string) *token.Error {
	return &token.Error{
		Class: class, Source: o.key, Message: o.name + " " + what, Hint: o.hint,
		Stale: func() bool { return true },
	}
}

// token makes the token with that value. Without an expiry of its own, a
// JWT's exp counts: it is the only thing read from a token, and nothing is
// decided by it but when to ask again.
func (o origin) token(value string, expiry time.Time) (token.Token, error) {
	if len(value) > maxToken {
		return token.Token{}, o.fail(token.Misconfigured, fmt.Sprintf("holds more than %d bytes", maxToken))
	}
	t, err := token.New(value, o.key, expiry)
	if e, ok := errors.AsType[*token.Error](err); ok {
		return token.Token{}, o.fail(e.Class, "is not usable: "+e.Message)
	}
	if expiry.IsZero() {
		expiry = jwtExpiry(t.Reveal())
	}
	// Nothing sends an expired token, and the class says that a later one may
	// do: whoever wrote this one is expected to write the next.
	if !expiry.IsZero() && !time.Now().Before(expiry) {
		return token.Token{}, o.fail(token.Transient, "holds a token that expired at "+expiry.UTC().Format(time.RFC3339))
	}
	return token.New(t.Reveal(), o.key, expiry)
}

// other returns t unless it is the refused one, for which there is no other to
// be had here.
func (o origin) other(t token.Token, ask token.Ask) (token.Token, error) {
	if t.IsZero() || !t.Equal(ask.Rejected) {
		return t, nil
	}
	e := o.fail(token.Misconfigured, "still holds the token that was refused")
	e.Err = token.ErrSame
	return token.Token{}, e
}

// jwtExpiry returns the exp claim of a JWT (RFC 7519, section 4.1.4), or the
// zero time if value is none or has none. The signature is not looked at.
func jwtExpiry(value string) time.Time {
	parts := strings.Split(value, ".")
	if len(parts) != 3 || len(value) > maxToken {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	// A map, as struct fields would match EXP and Exp too.
	var claims map[string]json.RawMessage
	if json.Unmarshal(payload, &claims) != nil {
		return time.Time{}
	}
	n, err := seconds(claims["exp"])
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

var errNotSeconds = errors.New("not a number of seconds")

// seconds reads a positive JSON number of seconds, fractions dropped.
func seconds(raw []byte) (int64, error) {
	raw = bytes.TrimSpace(raw)
	f, err := strconv.ParseFloat(string(raw), 64)
	// JSON numbers begin with a digit; ParseFloat also takes inf, nan and a
	// plus. Its hex and underscores do no harm.
	if err != nil || raw[0] < '0' || raw[0] > '9' || f < 1 || f > maxEpoch {
		return 0, errNotSeconds
	}
	return int64(f), nil
}
