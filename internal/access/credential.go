package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Credential is the secret that admits a client whose user cannot be told. It
// prints as a placeholder wherever it goes; only [Credential.Reveal] returns
// it. The zero Credential is none: nothing matches it.
type Credential struct {
	// A pointer, because fmt cannot call Format on an unexported field of
	// another struct and prints what it finds there.
	value *string
}

// Generate returns a new credential of 256 random bits.
func Generate() Credential {
	var b [32]byte
	defer clear(b[:])
	rand.Read(b[:]) // never fails
	value := base64.RawURLEncoding.EncodeToString(b[:])
	return Credential{&value}
}

// Reveal returns the credential's value, the password of the proxy URL that
// clients are given. It needs no escaping there.
func (c Credential) Reveal() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

const redacted = "[credential]"

// String returns a placeholder.
func (c Credential) String() string { return redacted }

// Format writes a placeholder for every verb and flag.
func (c Credential) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (c Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], and through it JSON.
func (c Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// is reports whether s is the credential. It compares digests, so that the
// time it takes tells neither where they differ nor how long the secret is.
func (c Credential) is(s string) bool {
	if c.value == nil {
		return false
	}
	want, got := sha256.Sum256([]byte(*c.value)), sha256.Sum256([]byte(s))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// check returns nil if header, the values of Proxy-Authorization, shows the
// credential.
func (c Credential) check(header []string) error {
	switch len(header) {
	case 0:
		return errors.New("no credential was sent")
	case 1:
	default: // which of them counts is anyone's guess
		return errors.New("several credentials were sent")
	}
	password, ok := basicPassword(header[0])
	if !ok {
		return errors.New("the credential is not in the Basic scheme")
	}
	if !c.is(password) {
		return errors.New("the credential is wrong")
	}
	return nil
}

// basicPassword returns the password in a credential of the Basic scheme (RFC
// 7617). The user name may be anything.
func basicPassword(header string) (password string, ok bool) {
	_, password, ok = userPassword(header)
	return password, ok
}

// userPassword returns the user and the password in a credential of the Basic scheme.
func userPassword(header string) (user, password string, ok bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	// The length keeps EqualFold to ASCII: it also folds ſ to s.
	if len(scheme) != len("Basic") || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	rest = strings.TrimLeft(rest, " ")
	if strings.ContainsAny(rest, "\r\n") { // which the decoder would skip
		return "", "", false
	}
	userpass, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(userpass), ":")
	return user, password, ok
}

// LoadOrCreate returns the credential in the named file, which it first makes
// (mode 0600, with its directory, 0700) if there is none. Processes that do so
// at the same moment agree on one. A file that others can read, that belongs
// to another user or that has anything but a credential in it is refused, not
// replaced: the error says what to do.
func LoadOrCreate(file string) (Credential, error) {
	c, err := load(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err := create(file); err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w", file, err)
	}
	return load(file)
}

func load(file string) (Credential, error) {
	f, err := os.Open(file)
	if err != nil {
		return Credential{}, fmt.Errorf("credential: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Credential{}, fmt.Errorf("credential: %w", err)
	}
	if err := private(info); err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w; delete it, and a new one is made", file, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	defer clear(b)
	if err != nil {
		return Credential{}, fmt.Errorf("credential: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if !wellFormed(value) {
		return Credential{}, fmt.Errorf("credential %s: its content is not a credential (32 or more of A-Z a-z 0-9 - _); delete it, and a new one is made", file)
	}
	return Credential{&value}, nil
}

// wellFormed reports whether s is long enough not to be guessed (a file cut
// short must not become a password) and needs no escaping in a URL.
func wellFormed(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return 32 <= len(s) && len(s) <= 1024
}

// create puts a new credential into file, unless one is there. The file
// appears complete and under its name at once, or not at all: a hard link,
// unlike a rename, does not replace what another process has just put there.
func create(file string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".credential-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(Generate().Reveal() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
