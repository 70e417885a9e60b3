package stdio

// Codes of errors. Of those that JSON-RPC leaves to servers, MCP leaves -32000 to
// -32019 to implementations; SDKs mean a closed connection or a time-out by the
// low ones. By -32020 and what follows a server shows that it is of MCP
// 2026-07-28 ("Error Codes" there).
const (
	codeOurs       = -32016 // the bridge's own, and the proxy's
	codeMismatch   = -32020 // header and body differ
	codeCapability = -32021 // the client has not declared what the request takes
	codeVersion    = -32022 // a version that the server does not speak

	// JSON-RPC 2.0, 5.1
	codeInvalid  = -32600
	codeNoMethod = -32601
	codeParams   = -32602
	codeInternal = -32603
)
