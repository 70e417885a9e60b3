package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// notYet lists the keys that are checked but change nothing so far, each with
// its default. "*" stands for any name or index. Whoever gives a key its
// effect deletes its line.
var notYet = [...]struct {
	key      string
	standard any
}{
	{"admin.token_file", ""},
	{"log.audit", ""},
	{"rule.*.recover", "heal"},
	{"session.cooldown", "5s"},
	{"session.hard", "0"},
	{"session.light", "60s"},
}

// notYet warns of keys that are set to something else than what happens anyway.
func (d *document) notYet() {
	for _, entry := range notYet {
		pattern := strings.Split(entry.key, ".")
		for _, found := range find(d.root, pattern, nil) {
			if !reflect.DeepEqual(found.value, entry.standard) {
				d.warnf(d.pos.of(found.path...), "%s has no effect yet", found.key(pattern))
			}
		}
	}
}

type foundValue struct {
	path  []string
	value any
}

// key is the path as users write it, without the index of a rule.
func (f foundValue) key(pattern []string) string {
	if pattern[0] == "rule" {
		return pattern[len(pattern)-1]
	}
	return strings.Join(f.path, ".")
}

// find returns the values in v whose path matches pattern.
func find(v any, pattern, path []string) []foundValue {
	if len(pattern) == 0 {
		return []foundValue{{path: path, value: v}}
	}
	var found []foundValue
	visit := func(key string, v any) {
		if pattern[0] == "*" || pattern[0] == key {
			found = append(found, find(v, pattern[1:], append(slices.Clip(path), key))...)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for key, element := range v {
			visit(key, element)
		}
	case []map[string]any:
		for i, element := range v {
			visit(strconv.Itoa(i), element)
		}
	case []any:
		for i, element := range v {
			visit(strconv.Itoa(i), element)
		}
	}
	return found
}
