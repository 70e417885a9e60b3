package stdio

import (
	"encoding/json"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// What a request of MCP 2026-07-28 says in its _meta.
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaClient       = "io.modelcontextprotocol/clientInfo"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaLevel        = "io.modelcontextprotocol/logLevel"
	metaServer       = "io.modelcontextprotocol/serverInfo"
)

// The fields that repeat what a body says, "Request Metadata" of "Streamable
// HTTP", in the form of net/http's maps.
const (
	headerMethod = "Mcp-Method"
	headerName   = "Mcp-Name"
	headerParam  = "Mcp-Param-"
)

// mostField is the most bytes of a field's value that is sent. Servers take
// less; what is longer they then refuse for want of the field.
const mostField = 64 << 10

// nameSource says which of a method's params Mcp-Name repeats.
var nameSource = map[string]string{
	"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
	"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId",
}

// modernVersion returns the version of the protocol that params say the message
// is of. Messages of the versions with an initialize say none.
func modernVersion(params json.RawMessage) (version string, ok bool) {
	members, err := jsonrpc.Object(params)
	if err != nil {
		return "", false
	}
	return versionIn(members)
}

// versionIn is modernVersion of the members of params.
func versionIn(params map[string]json.RawMessage) (version string, ok bool) {
	meta, err := jsonrpc.Object(params["_meta"])
	if err != nil {
		return "", false
	}
	version, ok = jsonrpc.Text(meta[metaVersion])
	return version, ok && version != "" && visible(version, mostVersion)
}

// modernFields sets the fields that repeat what m says, if m is of a version
// that wants them. Such a message belongs to no session.
func modernFields(h http.Header, m message, tools *marked) {
	params, err := jsonrpc.Object(m.Params)
	if err != nil {
		return
	}
	version, ok := versionIn(params)
	if !ok {
		return
	}
	versionFields(h, version, m.Method)
	name, ok := jsonrpc.Text(params[nameSource[m.Method]])
	if m.Kind != jsonrpc.Request || !ok {
		return
	}
	setField(h, headerName, name)
	if m.Method == "tools/call" {
		paramFields(h, params["arguments"], tools.of(name))
	}
}

// versionFields sets what every message of a modern version has.
func versionFields(h http.Header, version, method string) {
	delete(h, headerSession)
	h[headerVersion] = []string{version}
	if isPlain(method) && len(method) <= mostField {
		h[headerMethod] = []string{method}
	}
}

// paramFields sets the fields that repeat arguments. A value that is absent or
// null has none.
func paramFields(h http.Header, arguments json.RawMessage, all []binding) {
	for _, b := range all {
		if value, ok := primitiveText(valueAt(arguments, b.path)); ok {
			setField(h, http.CanonicalHeaderKey(headerParam+b.field), value)
		}
	}
}

// valueAt returns the value at a path through objects, nil if there is none or
// readers may differ on it.
func valueAt(raw json.RawMessage, path []string) json.RawMessage {
	for _, name := range path {
		members, err := jsonrpc.Object(raw)
		if err != nil {
			return nil
		}
		raw = members[name]
	}
	return raw
}

func setField(h http.Header, name, value string) {
	if value = fieldValue(value); len(value) <= mostField {
		h[name] = []string{value}
	}
}
