package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is one TOML table being read. Each accessor notes its key as known,
// reports a value of the wrong type and then goes on with the default, so that
// one mistake hides no other. [table.done] reports the keys that nobody asked for.
type table struct {
	*document
	path  []string // keys that lead here; "" of them at the root
	title string   // as users write it: "[token]", "[[rule]]"; "" at the root
	keys  map[string]any
	known []string
}

func (d *document) top() *table { return &table{document: d, keys: d.root} }

// at returns where key stands, or the table if it is not there.
func (t *table) at(key ...string) Position {
	return t.pos.of(append(slices.Clip(t.path), key...)...)
}

func (t *table) has(key string) bool {
	_, ok := t.keys[key]
	return ok
}

// name is how messages call key.
func (t *table) name(key string) string {
	if len(t.path) == 1 {
		return t.path[0] + "." + key
	}
	return key
}

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
			t.errorf(t.at(key, strconv.Itoa(i)), "%s must hold strings, not %s", t.name(key), kindOf(v))
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

// path of a file, absolute; "" if key is absent.
func (t *table) file(key string) string {
	s := t.str(key, "")
	switch {
	case !t.has(key):
		return ""
	case s == "":
		if _, ok := t.keys[key].(string); ok {
			t.errorf(t.at(key), "%s is empty", t.name(key))
		}
		return ""
	case strings.ContainsRune(s, 0):
		t.errorf(t.at(key), "%s is not a path", t.name(key))
		return ""
	}
	return t.abs(s)
}

// section returns the table [key], an empty one if it is absent.
func (t *table) section(key string) *table {
	keys, _ := value[map[string]any](t, key, "a table, ["+key+"]")
	return &table{document: t.document, path: append(slices.Clip(t.path), key), title: "[" + key + "]", keys: keys}
}

// named returns the tables [key.NAME] in file order and reports names that
// could not be written in a log or a metric.
func (t *table) named(key string) []*table {
	section := t.section(key)
	var tables []*table
	for name := range section.keys {
		keys, ok := value[map[string]any](section, name, fmt.Sprintf("a table, [%s.NAME]", key))
		if !ok {
			continue
		}
		sub := &table{document: t.document, path: append(slices.Clip(section.path), name), keys: keys}
		sub.title = fmt.Sprintf("[%s]", strings.Join(sub.path, "."))
		if !isName(name) {
			sub.title = fmt.Sprintf("[%s.%s]", strings.Join(section.path, "."), show(name))
			t.errorf(sub.at(), "%s: a name has letters, digits, '.', '_' and '-', 64 at most", sub.title)
		}
		tables = append(tables, sub)
	}
	slices.SortFunc(tables, func(a, b *table) int {
		return cmp.Or(a.at().compare(b.at()), strings.Compare(a.leaf(), b.leaf()))
	})
	return tables
}

// leaf is the last key of the path: the name of a named table.
func (t *table) leaf() string { return t.path[len(t.path)-1] }

// each returns the tables [[key]] in file order.
func (t *table) each(key string) []*table {
	t.known = append(t.known, key)
	var elements []map[string]any
	switch raw := t.keys[key].(type) {
	case nil:
	case []map[string]any:
		elements = raw
	case []any: // written as an array of inline tables, or of something else
		for i, v := range raw {
			m, ok := v.(map[string]any)
			if !ok {
				t.errorf(t.at(key, strconv.Itoa(i)), "%s must hold tables, not %s", t.name(key), kindOf(v))
			}
			elements = append(elements, m)
		}
	default:
		t.errorf(t.at(key), "%s must be [[%s]], not %s", t.name(key), key, kindOf(raw))
	}
	var tables []*table
	for i, keys := range elements {
		if keys != nil {
			path := append(slices.Clip(t.path), key, strconv.Itoa(i))
			tables = append(tables, &table{document: t.document, path: path, title: "[[" + key + "]]", keys: keys})
		}
	}
	return tables
}

// done reports the keys that no accessor asked for.
func (t *table) done() {
	for key := range t.keys {
		if !slices.Contains(t.known, key) {
			t.errorf(t.at(key), "unknown key %s%s%s", show(key), in(t.title), didYouMean(key, t.known))
		}
	}
}

func in(title string) string {
	if title == "" {
		return ""
	}
	return " in " + title
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
