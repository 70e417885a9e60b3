package gate

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// TestSessionIsFoundAtItsUpstreamAlone holds for upstreams that differ little.
func TestSessionIsFoundAtItsUpstreamAlone(t *testing.T) {
	t.Parallel()
	r := &route{}
	for _, u := range urls(t, "http://host/a", "http://host/b", "http://host:81/a", "https://host/a") {
		r.upstreams = append(r.upstreams, &upstream{url: u})
	}
	for at, want := range map[string]string{
		"http://host/a": "http://host/a", "http://host/b": "http://host/b", "http://host:81/a": "http://host:81/a", "https://host/a": "https://host/a",
		"http://host:81/messages": "http://host:81/a", // of another route: the same server
		"http://host:81":          "http://host:81/a",
		"http://host:810/a":       "", "http://host.example/a": "", "http://gone": "", "": "",
	} {
		got := ""
		if u := r.upstreamAt(at); u != nil {
			got = u.url.String()
		}
		if got != want {
			t.Errorf("a session at %q goes to %q, want %q", at, got, want)
		}
	}
}

// TestSessionOfAnUpstreamThatIsNoMoreIsNotFound holds that it does not go to
// another one.
func TestSessionOfAnUpstreamThatIsNoMoreIsNotFound(t *testing.T) {
	t.Parallel()
	f := among(t, numbering(t, always("one")).URL)
	if _, err := f.sessions.Bind(t.Context(), binding.KeyOf(byHeader, "/mcp", "old"), binding.Binding{Owner: binding.Owner{Tenant: "tenant", Object: alice}, Upstream: "http://gone:1"}); err != nil {
		t.Fatal(err)
	}
	if res, _ := f.do(t, f.as(t, alice, "old", http.MethodPost, callEcho)); res.StatusCode != http.StatusNotFound {
		t.Errorf("%s", res.Status)
	}
}

func TestNoSessionIsLostWhereThereWasNone(t *testing.T) {
	t.Parallel()
	f := among(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()[headerSession] = []string{""} // which is none
		w.WriteHeader(http.StatusNotFound)
	}).URL, numbering(t, always("")).URL)
	for range 2 {
		f.do(t, f.as(t, alice, "", http.MethodPost, callEcho))
		if r := <-f.done; r.Lost || f.Sessions() != 0 {
			t.Errorf("%d sessions; told of %+v", f.Sessions(), r)
		}
	}
}

func TestComplaintIsUnderstoodHoweverItComes(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"Bad Request: No valid session ID provided, no valid session id", "Bad Request: Server not initialized", "Unknown Mcp-Session-Id", "Invalid session ID",
		"invalid or missing session id", "it is too late",
	} {
		for name, by := range map[string]func(io.Reader) io.Reader{
			"bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "all": func(r io.Reader) io.Reader { return r },
		} {
			res := &http.Response{Header: http.Header{}, Body: io.NopCloser(by(strings.NewReader(said)))}
			lost := complains(res)
			got, err := io.ReadAll(res.Body)
			if lost != (said != "it is too late") || string(got) != said || err != nil {
				t.Errorf("%q by %s: %q, %v, lost: %v", said, name, got, err, lost)
			}
		}
	}
}

// TestComplaintChangesNothingOfAnAnswer holds for one that breaks off, and for a
// stream, which is not waited for.
func TestComplaintChangesNothingOfAnAnswer(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	res := &http.Response{Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("it is "), iotest.ErrReader(broken)))}
	if complains(res) {
		t.Error("half an answer means that the session is lost")
	}
	if got, err := io.ReadAll(res.Body); string(got) != "it is " || err != broken {
		t.Errorf("%q, %v", got, err)
	}
	res = &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader("invalid session id"))}
	body := res.Body
	if complains(res) || res.Body != body {
		t.Error("a stream is read")
	}
}

// TestOnlyAHeldStreamMayBeginASessionByItsEndpoint holds for what looks like one.
func TestOnlyAHeldStreamMayBeginASessionByItsEndpoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, kind, session string
		status                int
		watched               bool
	}{
		{"GET", "text/event-stream", "", 200, true},
		{"POST", "text/event-stream", "", 200, false},
		{"GET", "application/json", "", 200, false},
		{"GET", "text/event-stream", "", 500, false},
		{"GET", "text/event-stream", "one", 200, false}, // of the transport that has no endpoints
	} {
		x := &exchange{r: &http.Request{Method: c.method, Header: http.Header{}}}
		if c.session != "" {
			x.r.Header.Set(headerSession, c.session)
		}
		res := &http.Response{StatusCode: c.status, Body: http.NoBody, Header: http.Header{"Content-Type": {c.kind}}}
		new(Gate).watchEndpoint(x, res)
		if _, watched := res.Body.(*endpoint); watched != c.watched {
			t.Errorf("%+v: watched: %v", c, watched)
		}
	}
}

// TestEndpointThatIsTheStreamsOwnBelongsToNobody holds that two may have it.
func TestEndpointThatIsTheStreamsOwnBelongsToNobody(t *testing.T) {
	t.Parallel()
	f := among(t, older(t, always("/mcp"), func(*http.Request) {}).URL)
	for _, who := range []string{alice, bob} {
		if _, at := f.hold(t, who); at != "/mcp" || f.Sessions() != 0 {
			t.Errorf("%s: %q, %d sessions", who, at, f.Sessions())
		}
	}
}

// TestCodingsPassWhereNothingIsRead holds of answers to calls.
func TestCodingsPassWhereNothingIsRead(t *testing.T) {
	t.Parallel()
	url, heard := witness(t)
	f := stand(t, Options{}, url)
	req := f.request(t, http.MethodPost, "/", callEcho)
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Accept-Encoding", "gzip")
	if f.do(t, req); !strings.Contains(heard(), "Accept-Encoding: gzip") {
		t.Error("the upstream may not compress")
	}
}
