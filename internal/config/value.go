package config

import (
	"slices"
	"strings"
	"time"
)

// value returns the value of key if it is there and has type T.
func value[T any](t *table, key, want string) (v T, ok bool) {
	t.known = append(t.known, key)
	raw, there := t.keys[key]
	if !there {
		return v, false
	}
	v, ok = raw.(T)
	if !ok {
		t.errorf(t.at(key), "%s must be %s, not %s", t.name(key), want, kindOf(raw))
	}
	return v, ok
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	default:
		return "an array"
	}
}

func (t *table) str(key, absent string) string {
	if s, ok := value[string](t, key, "a string"); ok {
		return s
	}
	return absent
}

func (t *table) boolean(key string) bool {
	b, _ := value[bool](t, key, "true or false")
	return b
}

// list returns an array of strings: nil if key is absent or not one.
func (t *table) list(key string) []string {
	raw, ok := value[[]any](t, key, "an array of strings")
	if !ok {
		return nil
	}
	list := make([]string, 0, len(raw))
	for i, v := range raw {
		s, ok := v.(string)
		if !ok {
			t.errorf(t.elementAt(key, i), "%s must hold strings, not %s", t.name(key), kindOf(v))
			continue
		}
		list = append(list, s)
	}
	return list
}

// filled is list, of which at least one element is wanted if key is there.
func (t *table) filled(key string) []string {
	list := t.list(key)
	if raw, ok := t.keys[key].([]any); ok && len(raw) == 0 {
		t.errorf(t.at(key), "%s is empty", t.name(key))
	}
	return list
}

// enum returns one of the allowed words, the first of which is the default.
func (t *table) enum(key string, allowed ...string) string {
	s := t.str(key, allowed[0])
	if !slices.Contains(allowed, s) {
		t.errorf(t.at(key), "%s must be %s, not %s%s", t.name(key), oneOf(allowed), show(s), didYouMean(s, allowed))
		return allowed[0]
	}
	return s
}

func (t *table) duration(key string, absent time.Duration) time.Duration {
	s, ok := value[string](t, key, `a duration in quotes, such as "30s"`)
	if !ok {
		return absent
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		t.errorf(t.at(key), `%s: %s is not a duration such as "30s" or "5m"`, t.name(key), show(s))
		return absent
	case d < 0:
		t.errorf(t.at(key), "%s is negative", t.name(key))
		return absent
	}
	return d
}

// positive is duration, which must not be zero.
func (t *table) positive(key string, absent time.Duration) time.Duration {
	d := t.duration(key, absent)
	if d == 0 {
		t.errorf(t.at(key), "%s must be longer than 0", t.name(key))
		return absent
	}
	return d
}

// file returns the path of a file, absolute; "" if key is absent.
func (t *table) file(key string) string {
	path := t.optionalFile(key)
	if path == "" && t.isString(key) {
		t.errorf(t.at(key), "%s is empty", t.name(key))
	}
	return path
}

// optionalFile is file, which may be "" for none.
func (t *table) optionalFile(key string) string {
	s := t.str(key, "")
	switch {
	case s == "":
		return ""
	case strings.ContainsRune(s, 0):
		t.errorf(t.at(key), "%s is not a path", t.name(key))
	}
	return t.abs(s)
}

// isName reports whether s can name an audience, a team or a rule: names go
// into logs, metrics and command lines as they are.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && s[0] != '-' && s[0] != '.' && only(s, func(c byte) bool {
		return isAlnum(c) || c == '.' || c == '_' || c == '-'
	})
}

// only reports whether every byte of s is allowed.
func only(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
