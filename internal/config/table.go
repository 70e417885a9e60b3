package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// table is one TOML table being read. Each accessor notes its key as known,
// reports a value of the wrong type and then goes on with the default, so that
// one mistake hides no other. [table.done] reports the keys that nobody asked for.
type table struct {
	*document
	path  []string // keys that lead here: none at the root
	title string   // as users write it: "[token]", "[[rule]]"; "" at the root
	keys  map[string]any
	known []string
}

func (d *document) top() *table { return &table{document: d, keys: d.root} }

// at returns where key stands, or the table if it is not there.
func (t *table) at(key ...string) Position {
	return t.pos.of(append(slices.Clip(t.path), key...)...)
}

// elementAt returns where an element of an array stands.
func (t *table) elementAt(key string, i int) Position { return t.at(key, strconv.Itoa(i)) }

func (t *table) has(key string) bool {
	_, ok := t.keys[key]
	return ok
}

// isString reports whether key is there and of that type, so that str returned
// what the user wrote.
func (t *table) isString(key string) bool {
	_, ok := t.keys[key].(string)
	return ok
}

// name is how messages call key.
func (t *table) name(key string) string {
	if len(t.path) == 1 {
		return t.path[0] + "." + key
	}
	return key
}

// section returns the table [key], an empty one if it is absent.
func (t *table) section(key string) *table {
	return t.titled(key, "["+key+"]")
}

// titled is section of a table that has a longer name in the file.
func (t *table) titled(key, title string) *table {
	keys, _ := value[map[string]any](t, key, "a table, "+title)
	return &table{document: t.document, path: append(slices.Clip(t.path), key), title: title, keys: keys}
}

// inOrder returns the keys in file order.
func (t *table) inOrder() []string {
	return slices.SortedFunc(maps.Keys(t.keys), func(a, b string) int {
		return cmp.Or(t.at(a).compare(t.at(b)), strings.Compare(a, b))
	})
}

// named returns the tables [key.NAME] in file order and reports names that
// could not be written in a log or a metric.
func (t *table) named(key string) []*table {
	section := t.section(key)
	var tables []*table
	for _, name := range section.inOrder() {
		keys, ok := value[map[string]any](section, name, fmt.Sprintf("a table, [%s.NAME]", key))
		if !ok {
			continue
		}
		sub := &table{document: t.document, path: append(slices.Clip(section.path), name), keys: keys}
		sub.title = "[" + strings.Join(sub.path, ".") + "]"
		if !isName(name) {
			sub.title = fmt.Sprintf("[%s.%s]", strings.Join(section.path, "."), show(name))
			t.errorf(sub.at(), "%s: a name has letters, digits, '.', '_' and '-', 64 at most", sub.title)
		}
		tables = append(tables, sub)
	}
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
				t.errorf(t.elementAt(key, i), "%s must hold tables, not %s", t.name(key), kindOf(v))
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
	for _, key := range slices.Sorted(maps.Keys(t.keys)) {
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
