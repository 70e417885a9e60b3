package proxy

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/injectproxy/injectproxy/internal/match"
)

// screenRequest returns the path of r as it was sent, or the answer to a
// request that is not meant for authority or that cannot be passed on as it
// is.
func screenRequest(r *http.Request, authority string) (rawPath string, a *Answer) {
	if r.Method == http.MethodConnect {
		return "", misdirected("CONNECT was sent inside a CONNECT.")
	}
	if a := screenHost(r, authority); a != nil {
		return "", a
	}
	target, a := originForm(r)
	if a != nil {
		return "", a
	}
	rawPath, _, _ = strings.Cut(target, "?")
	if rawPath == "" {
		rawPath = "/"
	}
	switch {
	case !forwardable(r, rawPath):
		return rawPath, malformedRequest("Its path has characters that cannot be passed on unchanged.")
	case !httpguts.ValidHeaderFieldName(r.Method): // both are tokens
		return rawPath, malformedRequest("Its method is not valid.")
	}
	return rawPath, nil
}

// screenHost compares everything that says whom r is for with authority.
func screenHost(r *http.Request, authority string) *Answer {
	if r.Host == "" {
		return malformedRequest("It has no Host.")
	}
	named := r.Header["Host"] // in HTTP/2, beside :authority
	if len(named) > 1 {
		return malformedRequest("It has more than one Host.")
	}
	for _, host := range append([]string{r.Host}, named...) {
		if got, err := match.Authority(host); err != nil {
			return malformedRequest("Its Host is not a valid host or host:port.")
		} else if got != authority {
			return misdirected("The request is for another host or port than the CONNECT it came through.")
		}
	}
	delete(r.Header, "Host")
	return nil
}

// originForm returns the path and query of r as they were sent.
func originForm(r *http.Request) (string, *Answer) {
	if !r.URL.IsAbs() && r.URL.Host == "" {
		return r.RequestURI, nil
	}
	switch {
	case r.ProtoMajor == 2:
		return "", malformedRequest("Its path is not a path.")
	case r.URL.Scheme != "https":
		return "", misdirected("The request is for another scheme than https.")
	case r.URL.Host == "": // RFC 9110, section 4.2.2
		return "", malformedRequest("Its target is a URL without a host.")
	case r.URL.User != nil:
		return "", malformedRequest("Its target has user information.")
	}
	_, rest, _ := strings.Cut(r.RequestURI, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:], nil
	}
	return "", nil
}

// forwardable reports whether the upstream can be sent the target of r byte
// for byte.
func forwardable(r *http.Request, rawPath string) bool {
	if rawPath == "*" {
		return r.Method == http.MethodOptions
	}
	// HTTP/2 can carry a blank, which would end the target in HTTP/1.
	if !strings.HasPrefix(rawPath, "/") || strings.ContainsAny(r.RequestURI, "# ") {
		return false
	}
	return rawPath == r.URL.EscapedPath() || !strings.HasPrefix(rawPath, "//")
}

func malformedRequest(detail string) *Answer {
	a := malformed(http.StatusBadRequest, "")
	a.Detail = detail
	return a
}

func misdirected(detail string) *Answer {
	return &Answer{
		Status: http.StatusMisdirectedRequest, Type: "authority-mismatch", Title: "The request does not belong to this connection",
		Detail: detail, Reason: "http_request_error", Final: true,
		Hint: "Each host and port needs a CONNECT of its own.",
	}
}
