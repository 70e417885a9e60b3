package stdio

import (
	"encoding/json"
	"slices"
	"strings"
)

// headerMark is the keyword of a tool's schema that has an argument repeated in
// a field of the header.
const headerMark = "x-mcp-header"

const (
	mostSchema = 1 << 20 // bytes of a tool's schema that is looked into
	mostMarked = 64      // arguments of one tool that are repeated
)

// binding says which argument of a tool a field repeats.
type binding struct {
	path  []string // through the arguments
	field string   // what follows Mcp-Param-
}

// bindingsOf returns what the schema of a tool's arguments has repeated. It is
// false if the schema says that in a way that "Custom Headers from Tool
// Parameters" forbids: then the client must not see the tool.
func bindingsOf(schema json.RawMessage) ([]binding, bool) {
	if len(schema) > mostSchema || !strings.Contains(string(schema), headerMark) {
		return nil, true
	}
	var root any
	if json.Unmarshal(schema, &root) != nil {
		return nil, true // of no interest here: whoever calls the tool will see
	}
	var found marks
	ok := found.visit(root, nil, true)
	slices.SortFunc(found, func(a, b binding) int { return strings.Compare(a.field, b.field) })
	return found, ok && len(found) <= mostMarked
}

// marks gathers the bindings of a schema.
type marks []binding

// visit looks into a schema. Only what is reached through nothing but
// properties may have a mark; everything else is visited to find that it has none.
func (f *marks) visit(node any, path []string, reachable bool) bool {
	if list, ok := node.([]any); ok {
		return !slices.ContainsFunc(list, func(n any) bool { return !f.visit(n, nil, false) })
	}
	schema, ok := node.(map[string]any)
	if !ok {
		return true
	}
	if mark, ok := schema[headerMark]; ok && !(reachable && f.take(mark, schema["type"], path)) {
		return false
	}
	for keyword, sub := range schema {
		if !f.descend(keyword, sub, path, reachable) {
			return false
		}
	}
	return true
}

// descend visits the schemas that stand under a keyword.
func (f *marks) descend(keyword string, sub any, path []string, reachable bool) bool {
	switch keyword {
	case "properties":
		named, _ := sub.(map[string]any)
		for name, s := range named {
			if !f.visit(s, append(slices.Clip(path), name), reachable) {
				return false
			}
		}
	case "patternProperties", "dependentSchemas", "$defs", "definitions":
		named, _ := sub.(map[string]any)
		for _, s := range named {
			if !f.visit(s, nil, false) {
				return false
			}
		}
	case "items", "prefixItems", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems",
		"propertyNames", "oneOf", "anyOf", "allOf", "not", "if", "then", "else":
		return f.visit(sub, nil, false)
	}
	return true
}

// take adds the mark of the argument at path.
func (f *marks) take(mark, kind any, path []string) bool {
	name, ok := mark.(string)
	if !ok || !isToken(name) || len(path) == 0 || kind != "string" && kind != "integer" && kind != "boolean" {
		return false
	}
	if slices.ContainsFunc(*f, func(b binding) bool { return strings.EqualFold(b.field, name) }) {
		return false
	}
	*f = append(*f, binding{path, name})
	return true
}

// isToken reports whether s can be part of a field's name (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
