package match

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule says which requests a rule takes. Its place in the slice given to
// [NewTable] is its name.
type Rule struct {
	Prefix  Prefix
	Methods []string // compared exactly, as RFC 9110 has it; none means all
}

// Table holds rules and finds the one for a request. It never changes and may
// be used concurrently. The zero Table has no rules.
type Table struct {
	roots map[string]*node // by canonical authority
}

// NewTable returns the table of rules. Rules that have both a prefix and a
// method in common are a [*ConflictError] with all of them.
func NewTable(rules []Rule) (*Table, error) {
	t := &Table{roots: make(map[string]*node)}
	var conflict ConflictError
	for i, rule := range rules {
		if rule.Prefix == (Prefix{}) {
			return nil, fmt.Errorf("rule %d has no prefix", i)
		}
		root := t.roots[rule.Prefix.authority]
		if root == nil {
			root = newNode()
			t.roots[rule.Prefix.authority] = root
		}
		if first := root.descend(rule.Prefix.path).add(rule.Methods, i); first >= 0 {
			conflict.Pairs = append(conflict.Pairs, [2]int{first, i})
		}
	}
	if conflict.Pairs != nil {
		return nil, &conflict
	}
	return t, nil
}

// ConflictError reports rules that compete for the same requests.
type ConflictError struct {
	Pairs [][2]int // indices of an earlier rule and of the later one it excludes
}

// Error names the first pair.
func (e *ConflictError) Error() string {
	s := fmt.Sprintf("rules %d and %d have the same prefix and method", e.Pairs[0][0], e.Pairs[0][1])
	if more := len(e.Pairs) - 1; more > 0 {
		s += fmt.Sprintf(", and %d more pairs", more)
	}
	return s
}

// Verdict is what a [Table] says of a request.
type Verdict struct {
	Rule   int // index of the rule if Reason is Matched, else -1
	Reason Reason
}

// Intercepts reports whether any rule names the authority, which has to be
// canonical.
func (t *Table) Intercepts(authority string) bool { return t.roots[authority] != nil }

// Lookup returns the rule for a request: the one with the longest prefix that
// covers the path in all its readings and has the method. Authority has to be
// canonical; rawPath is the path as on the wire, up to the question mark.
//
// An ordinary path costs no allocation. Any other takes time bounded by a
// constant, whatever it holds.
func (t *Table) Lookup(authority, method, rawPath string) Verdict {
	root := t.roots[authority]
	if root == nil {
		return Verdict{Rule: -1, Reason: NoAuthority}
	}
	winner, reason := root.choose(rawPath)
	if reason != Matched {
		return Verdict{Rule: -1, Reason: reason}
	}
	// A shorter prefix is never asked: the longer one was written to take
	// these paths away from it.
	rule := winner.rule(method)
	if rule < 0 {
		return Verdict{Rule: -1, Reason: NoMethod}
	}
	return Verdict{Rule: rule, Reason: Matched}
}

// node is one path segment in the tree of an authority's prefixes. Most have one
// child, which is found without a map.
type node struct {
	segment  string           // of the only child
	child    *node            // nil if there is none, or more than one
	children map[string]*node // by segment, if there are several
	all      int              // rule for every method, -1 if none
	byMethod map[string]int   // rules for some methods; empty if all is set
}

func newNode() *node { return &node{all: -1} }

// descend returns the node for a prefix's path, making those that are missing.
func (n *node) descend(path string) *node {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		child := n.below(segment)
		if child == nil {
			child = newNode()
			n.put(segment, child)
		}
		n = child
	}
	return n
}

// below returns the child of that segment, or nil.
func (n *node) below(segment string) *node {
	if n.child == nil {
		return n.children[segment]
	}
	if n.segment != segment {
		return nil
	}
	return n.child
}

func (n *node) put(segment string, child *node) {
	switch {
	case n.children != nil:
		n.children[segment] = child
	case n.child != nil:
		n.children = map[string]*node{n.segment: n.child, segment: child}
		n.segment, n.child = "", nil
	default:
		n.segment, n.child = segment, child
	}
}

// add gives the methods to rule i and returns -1, unless an earlier rule has
// one of them: then it returns that one.
func (n *node) add(methods []string, i int) int {
	if n.all >= 0 {
		return n.all
	}
	if len(methods) == 0 {
		if len(n.byMethod) > 0 {
			return slices.Min(slices.Collect(maps.Values(n.byMethod)))
		}
		n.all = i
		return -1
	}
	if n.byMethod == nil {
		n.byMethod = make(map[string]int)
	}
	for _, method := range methods {
		if rule, taken := n.byMethod[method]; taken && rule != i {
			return rule
		}
		n.byMethod[method] = i
	}
	return -1
}

func (n *node) rule(method string) int {
	if i, ok := n.byMethod[method]; ok {
		return i
	}
	return n.all
}

func (n *node) empty() bool { return n.all < 0 && n.byMethod == nil }

// choose returns the node that every reading of rawPath picks.
func (n *node) choose(rawPath string) (*node, Reason) {
	var winner *node
	if plain(rawPath) {
		winner = n.longest(rawPath)
	} else {
		winner = n.longest(fold(rawPath))
		reason := agree(rawPath, func(reading string) bool { return n.longest(fold(reading)) == winner })
		if reason != Matched {
			return nil, reason
		}
	}
	if winner == nil {
		return nil, NoPrefix
	}
	return winner, Matched
}

// longest returns the deepest node with a rule on path as it is written, or
// nil.
func (n *node) longest(path string) (winner *node) {
	for {
		if !n.empty() {
			winner = n
		}
		if path == "" {
			return winner
		}
		segment := path[1:] // path begins with a slash
		if i := strings.IndexByte(segment, '/'); i >= 0 {
			segment = segment[:i]
		}
		if n = n.below(segment); n == nil {
			return winner
		}
		path = path[1+len(segment):]
	}
}
