package config

import (
	"fmt"
	"net/url"
	"time"
)

// DefaultGateAdmin is where the gate's status is served unless admin.listen
// says otherwise.
const DefaultGateAdmin = "127.0.0.1:8079"

// Gate is a valid gate.toml. Every field has its default where the file is
// silent. A Gate is not changed after [LoadGate], except by
// [Gate.OverrideListen], and may be read concurrently.
type Gate struct {
	File      string   // gate.toml, absolute
	Listen    string   // host:port
	PublicURL *url.URL // an origin: scheme and host, the latter without a default port
	Hosts     []string // further values of Host that are served, in lower case
	Drain     time.Duration
	BodyLimit int64 // bytes, not 0

	// Upstream says how keys and the shim's endpoints are reached. Of it the
	// servers behind the gate have the CA alone.
	Upstream Upstream

	// TLS are the files of the port's certificate and key, absolute; both are
	// "" for a port in the clear.
	TLS struct{ Cert, Key string }

	Entra  GateEntra
	Routes []GateRoute // in file order, at least one

	Redis GateRedis
	Admin Admin
	Log   Log
}

// GateRedis is where replicas share their sessions. The zero GateRedis is nowhere.
type GateRedis struct {
	Pos          Position // of URL
	URL          string   // redis or rediss, never with a password; "": sessions stay in memory
	PasswordFile string   // absolute; "": none
}

// GateEntra says which tokens are accepted. GUIDs are in lower case.
type GateEntra struct {
	Tenants       []string // at least one
	ClientID      string
	AppIDURI      string   // stands before scopes in metadata and challenges
	Audiences     []string // all of them: ClientID and AppIDURI, too
	Clients       []string // values of azp and appid; none: any
	Algorithms    []string // of RS256 and ES256, at least one
	AuthorityHost string   // base URL without a trailing slash; "" for the public cloud
	Shim          bool
	ShimClient    string // the client id that every registration is answered with; ClientID if the file is silent
}

// GateRoute is one [[route]].
type GateRoute struct {
	Pos       Position
	Path      string     // absolute and clean; only "/" ends in a slash
	Upstreams []*url.URL // at least one
	Protocol  string     // "auto", "1.1", "2" or "h2c"
	Host      string     // that the upstreams get; "": as the client sends it
	Mode      string     // "strict", "optional" or "permissive"
	Timeout   time.Duration

	OnBehalfOf *GateOnBehalfOf // nil: upstreams are shown no token
	Identity   []GateIdentity  // in file order

	Scopes, Roles []string
	Origins       []string // as browsers send them: in lower case, no default port

	Allow                     bool // default = "allow"
	Tools, Resources, Prompts []GateGrant
}

// GateOnBehalfOf is [route.on_behalf_of]: what callers' tokens are exchanged for,
// and by which credential: one of Certificate, SecretFile and Federated.
type GateOnBehalfOf struct {
	Pos         Position
	Scopes      []string  // in full, of one API
	Certificate string    // absolute
	Ends        time.Time // when the certificate did, as it was loaded
	SecretFile  string    // absolute
	Federated   string    // "managed-identity" or "workload-identity"
	Identity    string    // client ID of a user-assigned managed identity, or ""
	WarnConsent bool
}

// GateIdentity is one line of [route.identity_headers].
type GateIdentity struct {
	Pos    Position
	Header string // canonical
	Of     string // what of the caller it tells
}

// GateGrant is what the tools, resources or prompts that match Pattern need.
// With neither scopes nor roles that is nothing.
type GateGrant struct {
	Pos           Position
	Pattern       string
	Scopes, Roles []string
}

// LoadGate reads file, which is a gate.toml, and the certificate it names. It
// returns every problem, sorted by line. The Gate is nil if there is an error.
func LoadGate(file string) (*Gate, []Problem) {
	return (&report{}).gate(file)
}

// LoadGateAlone is [LoadGate] for a gate.toml of a gate that runs elsewhere: it reads
// none of the files that are named there, and has nothing to say of them.
func LoadGateAlone(file string) (*Gate, []Problem) {
	return (&report{elsewhere: true}).gate(file)
}

func (r *report) gate(file string) (*Gate, []Problem) {
	d := r.document(file, "gate.toml")
	if d == nil || d.ofProxy() {
		return nil, r.problems
	}
	g := &Gate{}
	g.read(d.top())
	if r.firstError(0) != nil {
		return nil, r.sorted()
	}
	return g, r.sorted()
}

func (g *Gate) read(top *table) {
	g.File = top.source
	g.Listen = top.address("listen", ":8080")
	g.PublicURL = top.publicURL("public_url")
	g.Hosts = top.hosts("hosts")
	g.Drain = top.duration("drain", 30*time.Second)
	if g.BodyLimit = top.size("body_limit", 8<<20); g.BodyLimit == 0 {
		top.errorf(top.at("body_limit"), "body_limit is 0: no message would fit")
	}
	g.Upstream.read(top)
	g.tls(top.section("tls"))
	entra := top.section("entra")
	g.Entra.read(entra)
	g.routes(top)
	g.Redis.read(top.section("redis"))
	g.ownServers(top)
	g.admin(top.section("admin"))
	g.Log.read(top.section("log"))
	top.done()
	g.mixUps(entra)
}

// admin reads where the status is served, which is another port than the gate's.
func (g *Gate) admin(t *table) {
	g.Admin.read(t, DefaultGateAdmin)
	switch at := t.at("listen"); {
	case g.Admin.Listen == "":
	case overlap(g.Admin.Listen, g.Listen):
		t.errorf(at, "admin.listen is %s, and the gate itself listens on %s", g.Admin.Listen, g.Listen)
	case shared(g.Admin.Listen) && g.Admin.TokenFile == "":
		t.warnf(at, "admin.listen is %s: whoever reaches it reads the metrics", g.Admin.Listen).
			hint("token_file in [admin], an address on this machine, or a network policy")
	}
}

// OverrideListen puts addr in place of the listen address.
func (g *Gate) OverrideListen(addr string) error {
	if problem := badAddress(addr); problem != "" {
		return fmt.Errorf("%s %s", show(addr), problem)
	}
	for _, r := range g.Routes {
		for _, u := range r.Upstreams {
			if reaches(u, addr) {
				return fmt.Errorf("%s is what route %s leads to: the gate would ask itself", show(addr), r.Path)
			}
		}
	}
	g.Listen = addr
	return nil
}
