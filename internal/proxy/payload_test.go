package proxy

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// payload is what a hostile client sends on one connection, byte for byte. In
// it {A} stands for the authority, {T} for what comes before the path in a
// target: nothing inside an interception, http:// and the authority at the
// door. {N} is the length of hid, {X} the same in hexadecimal. Behind it
// comes a harmless request, the marker.
type payload struct {
	name, raw string
	answers   string   // all final ones: the marker's is the last, where it was read
	door      string   // the answers at the door, if they are others; "-": not sent there
	meant     []string // targets that the client meant before the marker's, if not /v1/x
	body      string   // of the first request, as the upstream has it
}

const (
	hid     = "GET {T}/v1/smuggled HTTP/1.1\r\nHost: {A}\r\n\r\n" // what is to become a request of its own
	getX    = "GET {T}/v1/x HTTP/1.1\r\nHost: {A}\r\n"
	postX   = "POST {T}/v1/x HTTP/1.1\r\nHost: {A}\r\n"
	chunked = postX + "Transfer-Encoding: chunked\r\n\r\n"
	marker  = "GET {T}/v1/marker HTTP/1.1\r\nHost: {A}\r\nConnection: close\r\n\r\n"
)

// payloads are all classes, each of which is sent in one test.
var payloads = map[string][]payload{
	"Transfer-Encoding beside a length": codingAndLength,
	"Transfer-Encoding":                 coding,
	"Content-Length":                    lengths,
	"line ends":                         lineEnds,
	"chunk sizes":                       chunkSizes,
	"chunk extensions":                  chunkExtensions,
	"trailers":                          trailers,
	"fields":                            hostileFields,
	"switches":                          hostileSwitches,
	"request lines":                     requestLines,
	"hosts":                             hosts,
	"targets":                           targets,
}

// fill puts what the placeholders stand for in their place.
func fill(raw, authority, before string) string {
	whole := strings.NewReplacer("{A}", authority, "{T}", before)
	n := len(whole.Replace(hid))
	return strings.NewReplacer("{A}", authority, "{T}", before, "{N}", decimal(n), "{X}", hexadecimal(n)).Replace(raw)
}

// theater is a world whose one upstream is a listener. /v1 is under a rule.
type theater struct {
	*world
	authority string
	listener  *listener
	before    string
	open      func() net.Conn
}

// TestPayloadsInside sends all payloads through an interception, in one piece
// and byte by byte.
func TestPayloadsInside(t *testing.T) {
	t.Parallel()
	for class, list := range payloads {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			for _, cut := range []int{0, 1} {
				origins := newOrigins(t)
				s := new(theater)
				s.listener, s.authority = startListener(t, origins, "api.test")
				s.world = newWorld(t, origins, worldOptions{prefixes: []string{"https://" + s.authority + "/v1"}})
				s.open = func() net.Conn { return s.tlsTo(s.authority, "http/1.1") }
				s.play(t, list, cut)
			}
		})
	}
}

// TestPayloadsAtTheDoor sends what does not depend on an interception in the
// clear, to be forwarded to an http:// upstream.
func TestPayloadsAtTheDoor(t *testing.T) {
	t.Parallel()
	for class, list := range payloads {
		if class == "hosts" || class == "targets" {
			continue // the target says all, and it is another one
		}
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			s := new(theater)
			s.listener, s.authority = startListener(t, nil, "")
			s.world = newWorld(t, newOrigins(t), worldOptions{prefixes: []string{"https://" + s.authority + "/v1"}})
			s.before, s.open = "http://"+s.authority, s.door
			s.play(t, list, 0)
		})
	}
}

func (s *theater) play(t *testing.T, list []payload, cut int) {
	for _, p := range list {
		if cut > 0 && len(p.raw) > 2<<10 {
			continue // a TLS record for each byte is too much for what it shows
		}
		if s.before != "" {
			p.answers = cmp.Or(p.door, p.answers)
		}
		if p.answers == "-" {
			continue
		}
		t.Run(fmt.Sprintf("%s, cut %d", p.name, cut), func(t *testing.T) {
			c := s.open()
			raw := fill(p.raw+marker, s.authority, s.before)
			go sendPieces(c, raw, cut)
			answers := allReplies(t, c, raw)
			s.judge(t, p, answers, s.listener.take())
		})
	}
}

// allReplies reads what comes until the connection ends.
func allReplies(t *testing.T, c net.Conn, raw string) (list []reply) {
	t.Helper()
	c.SetDeadline(time.Now().Add(guard))
	r := bufio.NewReader(c)
	for method, _, _ := strings.Cut(raw, " "); ; method = "GET" {
		if _, err := r.Peek(1); err != nil {
			if isTimeout(err) {
				t.Errorf("after %d answers: %v", len(list), err)
			}
			return list
		}
		list = append(list, readReply(t, r, method))
	}
}

func (s *theater) judge(t *testing.T, p payload, answers []reply, heard []*hearing) {
	t.Helper()
	var statuses []string
	for _, a := range answers {
		statuses = append(statuses, decimal(a.status))
		if a.status != http.StatusOK {
			wantAnswer(t, a, a.status, s.problem(a.status))
		}
	}
	if got := strings.Join(statuses, " "); got != p.answers {
		t.Errorf("answers %q, want %q", got, p.answers)
	}
	requests := s.requests(t, heard)
	var targets []string
	for _, q := range requests {
		targets = append(targets, q.target)
	}
	if want := p.wanted(); !slices.Equal(targets, want) {
		t.Errorf("the upstream heard %q, want %q", targets, want)
	} else if want := fill(p.body, s.authority, s.before); want != "" && requests[0].body != want {
		t.Errorf("the first body is %q", requests[0].body)
	}
}

// problem returns the type of the problem that a payload meets.
func (s *theater) problem(status int) string {
	switch status {
	case http.StatusMisdirectedRequest:
		return "authority-mismatch"
	case http.StatusRequestHeaderFieldsTooLarge:
		return "header-too-large"
	case http.StatusMethodNotAllowed:
		if s.before == "" {
			return "trace-refused"
		}
		return "not-a-proxy-request"
	}
	return "malformed-request"
}

// wanted returns the targets of the requests that may reach the upstream, one
// for each 200.
func (p payload) wanted() []string {
	list := p.meant
	if list == nil {
		list = []string{"/v1/x"}
	}
	return append(slices.Clone(list), "/v1/marker")[:strings.Count(p.answers, "200")]
}

// requests returns all whole requests. What the upstream heard
// must be in the one form that has no second reading, with a token in each
// request under the rule and in no other.
func (s *theater) requests(t *testing.T, conns []*hearing) (all []heard) {
	t.Helper()
	for _, h := range conns {
		if h.rest.Error() != "EOF" && h.rest.Error() != "unexpected EOF" {
			t.Errorf("the upstream heard what is no request: %v in %q", h.rest, h.bytes)
		}
		var own []string
		for _, q := range h.requests {
			own = append(own, q.target)
			if got := q.values("X-Token"); s.before == "" && !slices.Equal(got, s.tokens(q.target)) || s.before != "" && slices.Contains(got, s.token()) {
				t.Errorf("%s has the tokens %q", q.target, got)
			}
		}
		for _, l := range lenients {
			if got := l.targets(string(h.bytes)); len(got) < len(own) || !slices.Equal(got[:len(own)], own) || slices.Contains(got, "/v1/smuggled") && !slices.Contains(own, "/v1/smuggled") {
				t.Errorf("to %+v the upstream's bytes are the requests %q, and they are %q: %q", l, got, own, h.bytes)
			}
		}
		all = append(all, h.requests...)
	}
	return all
}

// The table is of attacks: many of them would work on somebody.
func TestPayloadsAreManyAndBite(t *testing.T) {
	t.Parallel()
	distinct, biting := map[string]bool{}, 0
	for _, list := range payloads {
		for _, p := range list {
			raw := fill(p.raw, "api.test", "")
			if distinct[raw] {
				t.Errorf("%s is there twice", p.name)
			}
			distinct[raw] = true
			if slices.ContainsFunc(lenients, func(l lenient) bool { return slices.Contains(l.targets(raw), "/v1/smuggled") }) {
				biting++
			}
		}
	}
	if len(distinct) < 340 || biting < 240 {
		t.Errorf("%d payloads, of which %d smuggle a request to a lenient reader", len(distinct), biting)
	}
	t.Logf("%d payloads, of which %d smuggle a request to a lenient reader", len(distinct), biting)
}

// token returns the one that the rule attaches.
func (s *theater) token() string { return "https://" + s.authority + "/v1" }

// tokens returns those of an intercepted request.
func (s *theater) tokens(target string) []string {
	if !strings.HasPrefix(target, "/v1") || strings.Contains(target, "..") {
		return nil
	}
	return []string{s.token()}
}
