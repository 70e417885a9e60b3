package config

import (
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxDepth is how deep values may nest. The deepest that means anything is 3.
const maxDepth = 32

// positions says where each key of a file stands. The decoder tells that only
// for its own errors, so a second, lighter parser walks the same text.
type positions struct {
	file string
	at   map[string]Position
}

// of returns the position of the key with the given path (array elements count
// as keys, named by their index), or of the nearest key around it.
func (p positions) of(path ...string) Position {
	for n := len(path); n > 0; n-- {
		if at, ok := p.at[joinPath(path[:n])]; ok {
			return at
		}
	}
	return Position{File: p.file, Line: 1, Column: 1}
}

// joinPath makes a map key of a path. NUL occurs in no TOML key that the
// decoder accepts unescaped, and an escaped one could only blur a position.
func joinPath(path []string) string { return strings.Join(path, "\x00") }

// locate walks data. The problem, if there is one, is that it is not TOML or
// nests too deeply; it quotes one character of the text at most.
func locate(file string, data []byte) (positions, *Problem) {
	l := locator{
		positions: positions{file: file, at: map[string]Position{}},
		arrays:    map[string]int{},
	}
	for i, c := range data {
		if c == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	var parser unstable.Parser
	parser.Reset(data)
	var table []string
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table:
			table = l.header(node.Key(), false)
		case unstable.ArrayTable:
			table = l.header(node.Key(), true)
		case unstable.KeyValue:
			l.keyValue(table, node)
		}
		if l.deep != nil {
			return l.positions, &Problem{Position: l.position(l.deep.Raw), Message: "values nest too deeply"}
		}
	}
	var syntax *unstable.ParserError
	if err := parser.Error(); errors.As(err, &syntax) {
		return l.positions, &Problem{Position: l.position(parser.Range(syntax.Highlight)), Message: syntax.Message}
	}
	return l.positions, nil
}

type locator struct {
	positions
	lines  []int          // offsets at which lines 2, 3, … begin
	arrays map[string]int // number of elements that an array of tables has so far
	deep   *unstable.Node // the first node that nests too deeply
}

// header records a [table] or [[table]] header and returns the path that the
// keys below it belong to.
func (l *locator) header(key unstable.Iterator, array bool) (path []string) {
	for key.Next() && l.deep == nil {
		path = l.enter(path, key.Node())
		id := joinPath(path)
		n := l.arrays[id]
		if array && key.IsLast() {
			l.arrays[id] = n + 1
			path = l.enter(path, key.Node(), strconv.Itoa(n))
		} else if n > 0 {
			path = append(path, strconv.Itoa(n-1))
		}
	}
	return path
}

func (l *locator) keyValue(table []string, node *unstable.Node) {
	path := slices.Clone(table)
	for key := node.Key(); key.Next() && l.deep == nil; {
		path = l.enter(path, key.Node())
	}
	l.value(path, node.Value())
}

func (l *locator) value(path []string, node *unstable.Node) {
	switch node.Kind {
	case unstable.InlineTable:
		for child := node.Children(); child.Next() && l.deep == nil; {
			l.keyValue(path, child.Node())
		}
	case unstable.Array:
		i := 0
		for child := node.Children(); child.Next() && l.deep == nil; i++ {
			l.value(l.enter(slices.Clip(path), child.Node(), strconv.Itoa(i)), child.Node())
		}
	}
}

// enter appends a key, node's own unless one is given, and records where it
// stands. The first node of a path counts: a table may be continued further
// down, but it is where it began.
func (l *locator) enter(path []string, node *unstable.Node, key ...string) []string {
	if len(key) == 0 {
		key = []string{string(node.Data)}
	}
	path = append(path, key[0])
	if len(path) > maxDepth {
		l.deep = node
	}
	id := joinPath(path)
	if _, ok := l.at[id]; !ok && node.Raw.Length > 0 {
		l.at[id] = l.position(node.Raw)
	}
	return path
}

func (l *locator) position(r unstable.Range) Position {
	offset := int(r.Offset)
	line := sort.SearchInts(l.lines, offset+1) // newlines at or before offset
	begin := 0
	if line > 0 {
		begin = l.lines[line-1]
	}
	return Position{File: l.file, Line: line + 1, Column: offset - begin + 1}
}
