package stdio

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// How much is remembered of tools whose arguments are repeated in fields. What
// is older is forgotten; a server that then misses a field has its list asked for.
const (
	mostTools = 1024
	mostBound = 1 << 20 // bytes of names and paths
)

// marked remembers which arguments of which tools fields repeat. The zero value
// knows none. It may be used concurrently.
type marked struct {
	mu    sync.Mutex
	tools map[string][]binding
	order []string // of the names, the oldest first
	size  int
}

// of returns the bindings of a tool, which are not to be changed.
func (k *marked) of(tool string) []binding {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tools[tool]
}

func (k *marked) empty() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.tools) == 0
}

// set remembers the bindings of a tool in place of those that it had.
func (k *marked) set(tool string, all []binding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if reflect.DeepEqual(k.tools[tool], all) {
		return
	}
	k.forget(tool)
	if len(all) == 0 || sizeOf(tool, all) > mostBound {
		return
	}
	for len(k.order) >= mostTools || k.size+sizeOf(tool, all) > mostBound {
		k.forget(k.order[0])
	}
	if k.tools == nil {
		k.tools = map[string][]binding{}
	}
	k.tools[tool], k.order, k.size = all, append(k.order, tool), k.size+sizeOf(tool, all)
}

// forget is called with mu held.
func (k *marked) forget(tool string) {
	all, ok := k.tools[tool]
	if !ok {
		return
	}
	delete(k.tools, tool)
	k.size -= sizeOf(tool, all)
	for i, name := range k.order {
		if name == tool {
			k.order = append(k.order[:i], k.order[i+1:]...)
			return
		}
	}
}

func sizeOf(tool string, all []binding) int {
	n := len(tool)
	for _, b := range all {
		n += len(b.field)
		for _, name := range b.path {
			n += len(name) + 16
		}
	}
	return n
}

// learn takes from the result of a tools/list what is to be repeated, and
// returns the result without the tools that say that in a forbidden way.
func (k *marked) learn(result json.RawMessage) json.RawMessage {
	if !bytes.Contains(result, []byte(headerMark)) && k.empty() {
		return result
	}
	members, err := jsonrpc.Object(result)
	var tools []json.RawMessage
	if err != nil || json.Unmarshal(members["tools"], &tools) != nil {
		return result
	}
	wrong := map[string]bool{}
	for _, t := range tools {
		tool, err := jsonrpc.Object(t)
		name, ok := jsonrpc.Text(tool["name"])
		if err != nil || !ok {
			continue
		}
		all, ok := bindingsOf(tool["inputSchema"])
		if !ok {
			wrong[name] = true
			continue
		}
		k.set(name, all)
	}
	if len(wrong) == 0 {
		return result
	}
	if rest, ok := filterTools(result, func(name string) bool { return !wrong[name] }); ok {
		return rest
	}
	return result
}
