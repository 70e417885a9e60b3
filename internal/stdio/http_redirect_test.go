package stdio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestServerThatHasMovedIsFollowed holds that a redirect within the origin that
// keeps method and body is followed, once and for all.
func TestServerThatHasMovedIsFollowed(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		for name, to := range map[string]string{
			"path":             "/there/mcp",
			"relative":         "there/mcp",
			"whole":            "https://HOST/there/mcp",
			"in capitals":      "HTTPS://HOST/there/mcp#fragment",
			"without a scheme": "//HOST/there/mcp",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var f *far
				f = newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					switch {
					case r.URL.Path == "/mcp":
						w.Header()["Location"] = []string{strings.ReplaceAll(to, "HOST", parsed(t, f.srv.URL).Host)}
						w.WriteHeader(http.StatusTemporaryRedirect)
					case r.Method == "POST" && r.URL.Path == "/there/mcp":
						want(t, "ours", r.Header.Get("X-Ours"), "mine")
						answers(200, typeJSON, result(int(messageOf(string(b)).ID[0]-'0')))(w, r)
					}
				})
				wantLine(t, "first", f.ask(t, request(1, "x")), "")
				wantLine(t, "second", f.ask(t, request(2, "x")), "")
				wantList(t, "requests", f.route.urls(), "POST "+f.srv.URL+"/mcp", "POST "+f.srv.URL+"/there/mcp", "POST "+f.srv.URL+"/there/mcp")
			})
		}
	})
}

// TestNothingGoesToAnotherOrigin holds that no redirect makes the Route be asked
// for it, whatever it says, and what the user is told of it.
func TestNothingGoesToAnotherOrigin(t *testing.T) {
	t.Parallel()
	evil := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was sent to another origin: %q", r.Method, r.URL, r.Header)
	}))
	t.Cleanup(evil.Close)
	host := parsed(t, evil.URL).Host
	type test struct {
		status       int
		to, location string // SELF and EVIL stand for the authorities
	}
	tests := map[string]test{
		"another host":      {307, "https://EVIL/mcp?token=x#y", "https://EVIL/mcp"},
		"another host, 308": {308, "https://EVIL/mcp", "https://EVIL/mcp"},
		"without a scheme":  {307, "//EVIL/mcp", "https://EVIL/mcp"},
		"another port":      {308, "https://127.0.0.1:1/mcp", "https://127.0.0.1:1/mcp"},
		"no port":           {308, "https://127.0.0.1/mcp", "https://127.0.0.1/mcp"},
		"another name":      {308, "https://localhost/mcp", "https://localhost/mcp"},
		"in the clear":      {307, "http://SELF/mcp", "http://SELF/mcp"},
		"userinfo":          {307, "https://u:p@SELF/mcp", ""},
		"host as userinfo":  {307, "https://SELF@EVIL/mcp", ""},
		"another scheme":    {307, "ftp://SELF/mcp", ""},
		"file":              {307, "file:///etc/passwd", ""},
		"opaque":            {307, "https:EVIL", ""},
		"script":            {308, "javascript:alert(1)", ""},
		"no URL":            {307, "https://[", ""},
		"not ASCII":         {307, "https://EVIL/\xff\u00e4", "https://EVIL/%FF%C3%A4"},
		"too long":          {307, "https://EVIL/" + strings.Repeat("x", 2000), ""},
		"moved":             {301, "/there", "https://SELF/there"},
		"found":             {302, "https://SELF/there?code=secret", "https://SELF/there"},
		"see other":         {303, "/there", "https://SELF/there"},
		"choices":           {300, "/there", "https://SELF/there"},
		"not modified":      {304, "", ""},
		"no location":       {307, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f *far
			f = newFar(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				self := parsed(t, f.srv.URL).Host
				if tt.to != "" {
					w.Header()["Location"] = []string{strings.NewReplacer("SELF", self, "EVIL", host).Replace(tt.to)}
				}
				w.WriteHeader(tt.status)
			})
			f.s.session = "secret"
			for what, err := range map[string]error{
				"ask":  f.ask(t, request(1, "x")),
				"tell": f.s.tell(t.Context(), messageOf(`{"jsonrpc":"2.0","method":"x"}`)),
				"end":  f.s.end(t.Context()),
			} {
				r, ok := errors.AsType[*refusal](err)
				if !ok {
					t.Fatalf("%s: %v", what, err)
				}
				want(t, what+": status", r.status, tt.status)
				want(t, what+": location", r.location, strings.NewReplacer("SELF", parsed(t, f.srv.URL).Host, "EVIL", host).Replace(tt.location))
			}
			f.s.listen(t.Context())
			for _, url := range f.route.urls() {
				if !strings.HasSuffix(url, " "+f.srv.URL+"/mcp") {
					t.Errorf("the Route was asked for %s", url)
				}
			}
			want(t, "requests", len(f.route.urls()), 4)
		})
	}
}

// TestOriginIsComparedAsItIsDialled holds which authorities are the same, and
// that what is asked is written as it was before.
func TestOriginIsComparedAsItIsDialled(t *testing.T) {
	t.Parallel()
	from := parsed(t, "https://Kate.example/mcp")
	for to, same := range map[string]bool{
		"/x": true, "x": true, "?x": true, "": false, "//kate.EXAMPLE/x": true, "https://kate.example:443/x": true, "https://kate.example:/x": true,
		"https://kate.example./x": false, "https://kate.example:0443/x": false, "https://kate.example:444": false, "https://\u212aate.example/x": false,
		"https://ka%74e.example/x": false, "https://kate.example%2eevil/x": false, "https://kate.example\\@evil/x": false, "https:\\\\evil/x": false,
		"https:///x": false, "https:/x": false, "/\\evil/x": true, "//evil": false, "///evil": true, "https://kate.example\t/x": false, "https://@kate.example/x": false,
	} {
		next := moved(from, &http.Response{StatusCode: 307, Header: http.Header{"Location": {to}}})
		if (next != nil) != same || same && (next.Host != from.Host || next.Scheme != "https") {
			t.Errorf("%q leads to %v", to, next)
		}
	}
	if next := moved(from, &http.Response{StatusCode: 307, Header: http.Header{"Location": {"/a", "/b"}}}); next != nil {
		t.Errorf("two places lead to %v", next)
	}
}

// FuzzLocation holds that nothing that a server says makes a request go to
// another origin, as the Transport would read what comes of it.
func FuzzLocation(f *testing.F) {
	f.Fuzz(func(t *testing.T, said string) {
		from := parsed(t, "https://server.example/mcp")
		next := moved(from, &http.Response{StatusCode: 308, Header: http.Header{"Location": {said}}})
		if next == nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, next.String(), nil)
		if err != nil {
			t.Skip() // it is not sent, either
		}
		if u := req.URL; u.Scheme != "https" || u.Host != "server.example" || u.User != nil || u.Opaque != "" || req.Host != "server.example" || u.Fragment != "" {
			t.Fatalf("%q leads to %+v", said, u)
		}
	})
}

// TestRedirectsInARingEnd holds that a server cannot send a message round and
// round.
func TestRedirectsInARingEnd(t *testing.T) {
	t.Parallel()
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", map[string]string{"/mcp": "/a", "/a": "/b", "/b": "/mcp"}[r.URL.Path])
		w.WriteHeader(307)
	})
	r, ok := errors.AsType[*refusal](f.ask(t, request(1, "x")))
	if !ok || r.status != 307 || r.location != f.srv.URL+"/a" {
		t.Errorf("%+v", r)
	}
	want(t, "requests", len(f.route.urls()), 1+mostHops)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	want(t, "target", f.s.target.String(), f.srv.URL+"/mcp")
}

// TestDetourIsNotRemembered holds that a place where the server is not, such as
// one that says that it is away for the moment, does not become its own.
func TestDetourIsNotRemembered(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/away":
			w.WriteHeader(503)
		case away.Load():
			http.Redirect(w, r, "/away", http.StatusTemporaryRedirect)
		default:
			answers(200, typeJSON, result(2))(w, r)
		}
	})
	wantLine(t, "error", f.ask(t, request(1, "x")), "503")
	away.Store(false)
	wantLine(t, "error", f.ask(t, request(2, "x")), "")
}

// TestPlaceForAWhileIsNotForGood holds how long a redirect counts: one by 308 for
// the process, one by 307 until a session begins or the server has left the place.
func TestPlaceForAWhileIsNotForGood(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		const initialize = `{"jsonrpc":"2.0","id":3,"method":"initialize"}`
		for name, tt := range map[string]struct {
			status, left int    // of the redirect, and of the place that was left; 0: not left
			third        string // what is asked third
			fails        string // what that comes to
			want         string // paths that are asked for third and fourth
		}{
			"for a while":                {307, 0, "", "", "/1 /1"},
			"for good":                   {308, 0, "", "", "/1 /1"},
			"for a while, new session":   {307, 0, initialize, "", "/mcp /2 /2"},
			"for good, new session":      {308, 0, initialize, "", "/1 /1"},
			"for a while, then unknown":  {307, 404, "", "", "/1 /mcp /2 /2"},
			"for a while, then gone":     {307, 410, "", "", "/1 /mcp /2 /2"},
			"for a while, then away":     {307, 503, "", "503", "/1 /mcp /2"},
			"for a while, then an error": {307, 500, "", "500", "/1 /1"},
			"for good, then unknown":     {308, 404, "", "404", "/1 /1"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var later atomic.Bool
				f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					to := "/1"
					if later.Load() {
						to = "/2"
					}
					switch {
					case r.URL.Path == "/mcp":
						w.Header().Set("Location", to)
						w.WriteHeader(tt.status)
					case r.URL.Path == "/1" && later.Load() && tt.left != 0:
						w.WriteHeader(tt.left)
					default:
						answers(200, typeJSON, result(int(messageOf(string(b)).ID[0]-'0')))(w, r)
					}
				})
				wantLine(t, "first", f.ask(t, request(1, "x")), "")
				wantLine(t, "second", f.ask(t, request(2, "x")), "")
				wantList(t, "requests", f.route.urls(), "POST "+f.srv.URL+"/mcp", "POST "+f.srv.URL+"/1", "POST "+f.srv.URL+"/1")
				later.Store(true)
				if tt.third == "" {
					tt.third = request(3, "x")
				}
				wantLine(t, "third", f.ask(t, tt.third), tt.fails)
				fourth := f.ask(t, request(4, "x"))
				if stays := tt.want == "/1 /1" && tt.left != 0; (fourth != nil) != stays {
					t.Errorf("fourth: %v", fourth)
				}
				var paths []string
				for _, asked := range f.route.urls()[3:] {
					paths = append(paths, strings.TrimPrefix(asked, "POST "+f.srv.URL))
				}
				want(t, "paths", strings.Join(paths, " "), tt.want)
			})
		}
	})
}

// TestPlaceThatCannotBeReachedIsForgotten holds that an error of the Route has the
// next request ask anew, but not one whose caller has given up.
func TestPlaceThatCannotBeReachedIsForgotten(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	var asked []string
	h := newHeard()
	s := newHTTP(Options{URL: parsed(t, "https://server/mcp"), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
		asked = append(asked, req.URL.Path)
		if req.Context().Err() != nil {
			return nil, req.Context().Err()
		}
		return nil, refused
	})}, h.deliver)
	away := parsed(t, "https://server/away")
	s.settle(away, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.ask(ctx, h.call(ctx, request(1, "x")))
	for id := 2; id < 4; id++ {
		if err := s.ask(t.Context(), h.call(t.Context(), request(id, "x"))); !errors.Is(err, refused) {
			t.Error(err)
		}
	}
	wantList(t, "paths", asked, "/away", "/away", "/mcp")
}

// TestRouteJudgesEachHop holds that a place that the Route refuses ends the way.
func TestRouteJudgesEachHop(t *testing.T) {
	t.Parallel()
	beside := errors.New("no rule covers this URL")
	h := newHeard()
	s := newHTTP(Options{URL: parsed(t, "https://server/mcp/"), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path != "/mcp/" {
			return nil, beside
		}
		return &http.Response{StatusCode: 308, Header: http.Header{"Location": {"/admin"}}, Body: http.NoBody}, nil
	})}, h.deliver)
	if err := s.ask(t.Context(), h.call(t.Context(), request(1, "x"))); err != beside {
		t.Errorf("%v", err)
	}
	want(t, "target", s.target.Path, "/mcp/")
}
