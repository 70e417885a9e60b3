package clientenv

import (
	"runtime"
	"slices"
	"strings"
)

const (
	// upstreamName is the variable that says which proxy was there before, and
	// by being there, that this package made the environment.
	upstreamName = "INJECTPROXY_UPSTREAM"

	// direct is its value if there was none.
	direct = "direct"

	// beforePrefix and the name of a variable name the one with its old value.
	beforePrefix = "INJECTPROXY_BEFORE_"
)

// Before returns environ as it was before the variables of [For] were set in
// it: a copy of environ, if they were not.
func Before(environ []string) []string {
	if lookup(environ, upstreamName) == "" {
		return slices.Clone(environ)
	}
	var out []string
	for _, kv := range environ {
		if ours(nameOf(kv)) {
			continue
		}
		if old, ok := strings.CutPrefix(kv, beforePrefix); ok {
			kv = old
		}
		out = append(out, kv)
	}
	// INJECTPROXY_UPSTREAM is also set by hand, without the others.
	upstream := lookup(environ, upstreamName)
	if upstream != direct && upstreamOf(out) == direct {
		out = append(out, "HTTPS_PROXY="+upstream)
	}
	return out
}

// Undo returns what takes the variables of [For] out of environ again: those
// with a Value are set to it, those without are removed. It is empty where
// they are not set.
func Undo(environ []string) []Variable {
	if lookup(environ, upstreamName) == "" {
		return nil
	}
	before := Before(environ)
	var undo []Variable
	for _, kv := range environ {
		name := nameOf(kv)
		if ours(name) || strings.HasPrefix(name, beforePrefix) {
			undo = append(undo, Variable{Name: name, Value: lookup(before, name)})
		}
	}
	slices.SortFunc(undo, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return undo
}

// Upstream returns the proxy, "" for none, and the NO_PROXY that were there
// before the variables of [For] were set in environ. Ok is false if they are
// not: then the environment itself says it.
func Upstream(environ []string) (proxy, noProxy string, ok bool) {
	if lookup(environ, upstreamName) == "" {
		return "", "", false
	}
	before := Before(environ)
	if proxy = upstreamOf(before); proxy == direct {
		proxy = ""
	}
	if noProxy = lookup(before, "NO_PROXY"); noProxy == "" {
		noProxy = lookup(before, "no_proxy")
	}
	return proxy, noProxy, true
}

// ours reports whether [For] sets the variable, its memory of old values aside.
func ours(name string) bool {
	for _, k := range known {
		if same(k.name, name) {
			return true
		}
	}
	return same(name, upstreamName)
}

// lookup returns the value of a variable, "" if it is not there. The last one
// counts, as it does for os/exec.
func lookup(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if n, value, ok := strings.Cut(kv, "="); ok && same(n, name) {
			return value
		}
	}
	return ""
}

func nameOf(kv string) string {
	name, _, _ := strings.Cut(kv, "=")
	return name
}

// same reports whether two names are those of one variable.
func same(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}
