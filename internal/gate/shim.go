package gate

// shim answers what belongs to the authorization server.
func (g *Gate) shim(x *exchange, path string) bool { return false }
