package gate

import "net/http"

// keep has an event stream reach the client at once, stay open while nothing is
// said, and end when the caller's token has been over for a minute.
func (g *Gate) keep(x *exchange, res *http.Response) {}
