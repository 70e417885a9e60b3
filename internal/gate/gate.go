// Package gate is a reverse proxy in front of MCP servers that know nothing of
// Microsoft Entra ID: it lets in who shows a token that is valid for a route,
// tells others where to get one, decides on each tool, resource and prompt, and
// passes on the rest without holding a stream back.
//
// It refuses what it cannot judge: a message that two readers would read
// differently is not passed on, and a list that it cannot read is not shown. The
// caller's token never goes upstream, nor does what a caller says of who they are.
// Where a route is used on behalf of users, the upstream gets what the token was
// exchanged for, which nobody else does.
package gate

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// Mode is what becomes of requests without a valid token.
type Mode int

// The modes of a route.
const (
	Strict     Mode = iota // a valid token is required
	Optional               // without a token the caller is anonymous; a bad one is refused
	Permissive             // with a bad one the caller is anonymous, too
)

// Needs are what a caller must have one of: any scope, as a user, or any role.
// With neither, every caller has what it needs, the anonymous one included.
type Needs struct{ Scopes, Roles []string }

// Grant says what those tools, resources or prompts need whose name, or URI,
// matches Pattern, in which * stands for any run of characters.
type Grant struct {
	Pattern string
	Needs
}

// Exchanger gets the tokens that upstreams are shown, as *exchange.Exchanger does:
// for the user that assertion, the caller's token, speaks for. Its methods are
// called concurrently. The error is an *exchange.Refusal, or ctx is over.
type Exchanger interface {
	Exchange(ctx context.Context, tenant, assertion string) (token string, err error)

	// Again is Exchange after an upstream has refused a token, with the claims that
	// it asked for, a JSON object or "".
	Again(ctx context.Context, tenant, assertion, refused, claims string) (token string, err error)
}

// IdentityHeader tells upstreams who the caller is. The gate removes what a caller
// says by that name on every route.
type IdentityHeader struct {
	Name string // canonical
	Of   string // a word of Identities
}

// Route is one MCP server, or several that are the same.
type Route struct {
	Path      string        // absolute; covers itself and what is below it, by whole segments
	Upstreams []*url.URL    // http or https. A path takes the place of Path; without one the request's stays
	Protocol  string        // towards them: auto, 1.1, 2 or h2c
	Timeout   time.Duration // for the header of an answer; 0: none

	// UpstreamHost is what the upstreams get as Host. "" is what the client sent,
	// which the gate has held against PublicURL and Hosts in any case.
	UpstreamHost string

	Mode    Mode
	Needs            // of every caller that shows a token
	Origins []string // allowed values of Origin; a request without one is allowed always

	OnBehalfOf Exchanger        // of the tokens that upstreams are shown; nil: they see none
	BehalfOf   []string         // scopes that OnBehalfOf asks for, which the log names
	Identity   []IdentityHeader // none: upstreams are not told who calls

	Tools, Resources, Prompts []Grant
	Allow                     bool // what no Grant names is allowed, else denied
}

// Shim is an authorization server's metadata and endpoints of our own, in front
// of Entra's, for clients that Entra refuses.
type Shim struct {
	Client string // client id that every registration is answered with
	HTTP   *http.Client
}

// Options are what a Gate needs. PublicURL, Routes, Verify and Log are required.
type Options struct {
	PublicURL *url.URL // origin that clients see, without a path
	Hosts     []string // further values of Host that are served
	Authority string   // base URL of Entra's authority, without a trailing slash
	Tenants   []string
	ClientID  string // of the gate's application, for which users consent; "": not said
	AppIDURI  string // what scopes are prefixed with in metadata and challenges
	Shim      *Shim  // nil: none

	Routes    []Route
	BodyLimit int64       // bytes of a message; 0: 8 MiB
	Upstream  *tls.Config // towards upstreams; nil trusts the system's roots

	// Sessions is shared by all replicas of a gate; nil: one in memory.
	Sessions binding.Table

	// Verify returns whom a token speaks for. An error that is not a
	// *verify.Invalid means that it cannot be told at the moment.
	Verify func(ctx context.Context, token string) (*verify.Caller, error)
	Ready  func() bool // whether tokens can be verified at all; nil: always

	// TLS are the files of the certificate and its key, in PEM. Without them the
	// gate is served in the clear, which is for what stands behind something that
	// ends TLS. They are read again when they change.
	TLS struct{ Cert, Key string }

	// Began is told of each request for a route once that is known, with the
	// header of the request; Answered when the header of its answer goes
	// downstream, if one does; Done at its end, always. All get the same Request,
	// which is theirs while they run. They may be nil. Of a request that is refused
	// before it has a route Began and Done are told at its end, and not of what is
	// open to everybody and answered as it was asked.
	Began          func(*Request, http.Header)
	Answered, Done func(*Request)
	Log            *slog.Logger
	ErrorLog       *log.Logger // what net/http says of connections; nil: Log, at level debug
}

// Request is what is known of a request for a route. It holds no secret, but
// what a client says of itself: names are not to be trusted.
type Request struct {
	Start     time.Time
	Answered  time.Time     // when the header of the answer was sent; zero: not yet
	Duration  time.Duration // once it is done
	Route     string        // its path; "" of what was refused without one
	Method    string
	Path      string // without query
	Remote    string // IP address of the peer, which may be what stands in front
	Status    int    // sent downstream; 0 if the client left before
	Bytes     int64  // of the body sent downstream
	Stream    bool   // the answer is an event stream or an upgraded connection
	Caller    *verify.Caller
	Anonymous bool // served without a caller

	Message string // method of the JSON-RPC message, "batch", or ""
	Name    string // of the tool, resource or prompt that it is about
	Allowed bool   // passed on
	Denied  string // why not, a word of Denials; "" if it was passed on
	Invalid string // what is wrong with its token, a word of verify.Reasons; "" if none was refused
	Problem string // title of the answer that the gate gave itself; "" if the upstream answered

	// Exchange is what became of exchanging the caller's token for the upstream's:
	// "ok", or an exchange.Reason; "" where that was not tried.
	Exchange string

	Upstream string // host:port that was asked last, "" if none was
	Attempts int    // upstreams that were asked
	Lost     bool   // the upstream does not know a session that it had given
	Late     bool   // the upstream did not answer in time, or the client left after it had been asked

	Noted any // whatever Began leaves for the others
}
