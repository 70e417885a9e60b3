package binding

import (
	"errors"
	"strings"
)

// mostValue is the longest value, in bytes.
const mostValue = 4 << 10

// errForeign says that something else writes where the sessions are. Whose such a
// session is nobody knows.
var errForeign = errors.New("redis has something under the key of a session that no gate of this version has written")

// value is b as Redis has it: version, tenant, object and upstream, each on a line
// of its own. It fails for what would not be read again.
func (b Binding) value() (string, error) {
	value := "1\n" + b.Owner.name() + "\n" + b.Upstream
	if got, err := bindingOf(value); err != nil || got != b {
		return "", errors.New("a session of such an owner or upstream cannot be kept in redis")
	}
	return value, nil
}

// name is o as values and keys have it.
func (o Owner) name() string { return o.Tenant + "\n" + o.Object }

// bindingOf reads a value. Others may write to Redis, too: it takes nothing that
// could be read in another way.
func bindingOf(said any) (Binding, error) {
	value, ok := said.(string)
	if !ok || len(value) > mostValue {
		return Binding{}, errForeign
	}
	lines := strings.Split(value, "\n")
	if len(lines) != 4 || lines[0] != "1" || lines[3] == "" {
		return Binding{}, errForeign
	}
	for _, l := range lines {
		if !visible(l) {
			return Binding{}, errForeign
		}
	}
	return Binding{Owner{lines[1], lines[2]}, lines[3]}, nil
}

// visible reports whether s is of visible characters of ASCII alone.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < 0x21 || c > 0x7e })
}
