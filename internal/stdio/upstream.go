package stdio

import (
	"context"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// upstream is a way to the server. Its methods may be called concurrently. What
// the server says, asked or not, it hands to the bridge's deliver, and each call
// of it returns before that of ask, if it belongs to a request.
type upstream interface {
	// ask sends a request. It returns nil once the response has been delivered,
	// and otherwise why there will be none: a [*refusal] if the server's answer
	// was no success, or an error of the Route or of reading, after which the
	// server may have acted on the request. It ends with ctx, and then sees to it
	// that the server can know.
	ask(ctx context.Context, c *call) error

	// tell sends a notification or a response, and returns once the server has
	// taken or refused it.
	tell(ctx context.Context, m message) error

	// listen has what the server says unasked delivered, until ctx ends or the
	// server does not offer that. It is called once, when the client has said
	// that it is initialized.
	listen(ctx context.Context)

	// end tells the server that there will be no more, as far as the transport
	// has a way to. No other method is called any more; what does not heed its
	// context may be under way.
	end(ctx context.Context) error
}

// message is a JSON-RPC message on its way.
type message struct {
	jsonrpc.Message
	raw []byte // as it came, without an end of line; not to be changed
}

// refusal is an answer of the server's that is no success. What its body says
// is the server's, and may be shown to the client's user.
type refusal struct {
	status     int
	mediaType  string // of the body, without parameters
	body       []byte // its beginning
	retryAfter time.Duration
	location   string // of a redirect that was not followed, without what may be secret
}

// Error implements error. It quotes nothing of the body.
func (r *refusal) Error() string { return "the server answered " + statusText(r.status) }

// failure is an error of the bridge's own that says what the client is told.
type failure struct {
	code int // of JSON-RPC
	line string
	data any // nil: none
	err  error
}

// Error implements error.
func (f *failure) Error() string { return f.line }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }
