// Package clientenv knows the environment variables by which clients find a
// proxy and trust its CA. It turns where both lie into those variables,
// remembers in them what was there before, and takes them back.
//
// It reads and sets nothing itself: environments come in and go out as the
// lists of [os.Environ]. It leaves HTTP_PROXY and ALL_PROXY alone: a plain
// http request never gets a token, and to send it here would only cut clients
// off from what this proxy refuses, such as the metadata services of clouds.
package clientenv

import (
	"net/url"
	"runtime"
	"slices"
	"strings"
)

// Settings say what the clients are to be given. Proxy, RootFile and
// BundleFile are required.
type Settings struct {
	// Proxy is the URL of the proxy. Its userinfo, where there is one, is the
	// credential that it wants.
	Proxy *url.URL

	// Anonymous says that the proxy admits this user's processes without the
	// credential too. It matters to clients that cannot send one.
	Anonymous bool

	RootFile   string // PEM: the root of the CA alone, for clients that add to their roots
	BundleFile string // PEM: all roots, for clients that replace theirs
	TrustStore string // what [TrustStore] made of the bundle, "" for none: then Java is left alone

	// Authorities are those that rules name, host:port in canonical form.
	// Nothing that remains in NO_PROXY covers one.
	Authorities []string

	// Environ is the environment as it is. What an earlier [For] did to it does
	// not count as having been there before.
	Environ []string
}

// Variable is an environment variable. The Reason is one phrase on whom it is
// for; a Value may hold the credential.
type Variable struct {
	Name, Value, Reason string
}

// Environment is what [For] found out.
type Environment struct {
	Variables []Variable

	// Lifted are the entries of NO_PROXY that covered an authority, as they were
	// written. The proxy itself still has to honour them on its way out: see
	// [Upstream].
	Lifted []string

	// Notes say which clients need more than variables, one sentence each.
	Notes []string
}

// kind is where a variable's value comes from.
type kind int

const (
	proxyURL kind = iota
	exceptions
	yes
	replaced // a file that takes the place of the client's roots
	added    // a file that the client adds to its roots
	java
)

// known are the variables that [For] sets, in the order in which users read
// them. All of them are set: who runs a shell does not say what it will run.
var known = [...]struct {
	name   string
	kind   kind
	reason string
}{
	{"HTTPS_PROXY", proxyURL, "the proxy, for nearly all clients"},
	{"https_proxy", proxyURL, "the proxy, for clients that know the lower case only, such as wget"},
	{"NO_PROXY", exceptions, "hosts that are reached without the proxy"},
	{"no_proxy", exceptions, "the same, for clients that know the lower case only"},
	{"NODE_USE_ENV_PROXY", yes, "Node 22.21 and 24 on use HTTPS_PROXY only with it"},
	{"NODE_EXTRA_CA_CERTS", added, "Node, and what is built on it: Claude Code, opencode, npm"},
	{"DENO_CERT", added, "Deno"},
	{"SSL_CERT_FILE", replaced, "OpenSSL, Python, Ruby, Go and Rust on Linux"},
	{"CODEX_CA_CERTIFICATE", replaced, "Codex"},
	{"CURL_CA_BUNDLE", replaced, "curl"},
	{"GIT_SSL_CAINFO", replaced, "git"},
	{"REQUESTS_CA_BUNDLE", replaced, "Python's requests, and what is built on it: az"},
	{"PIP_CERT", replaced, "pip"},
	{"AWS_CA_BUNDLE", replaced, "AWS CLI and SDKs"},
	{"CARGO_HTTP_CAINFO", replaced, "cargo"},
	{"JAVA_TOOL_OPTIONS", java, "Java, which reads none of the others"},
}

// For returns the variables for clients of a proxy.
func For(s Settings) Environment { return forSystem(s, runtime.GOOS == "windows") }

// forSystem is [For]. Where names of variables have no case, each is set once.
func forSystem(s Settings, caseless bool) Environment {
	before := Before(s.Environ)
	noProxy, lifted := without(s.Authorities, lookup(before, "NO_PROXY"), lookup(before, "no_proxy"))
	e := Environment{Lifted: lifted}
	for _, k := range known {
		if caseless && k.name != strings.ToUpper(k.name) {
			continue
		}
		old, value := lookup(before, k.name), ""
		switch k.kind {
		case proxyURL:
			value = s.Proxy.String()
		case exceptions:
			value = noProxy
		case yes:
			value = "1"
		case replaced:
			value = s.BundleFile
		case added:
			value = s.RootFile
			if old != "" && old != s.RootFile {
				value = s.BundleFile // which has what that file has
			}
		case java:
			var note string
			value, note = javaOptions(s, old, noProxy)
			if note != "" {
				e.Notes = append(e.Notes, note)
			}
		}
		if value == "" {
			value = old // recorded all the same, or Before would take it for ours
		}
		if value == "" {
			continue
		}
		e.Variables = append(e.Variables, Variable{k.name, value, k.reason})
		if old != "" {
			e.Variables = append(e.Variables, Variable{beforePrefix + k.name, old, "what " + k.name + " was before"})
		}
	}
	e.Variables = append(e.Variables, Variable{upstreamName, upstreamOf(before), "the proxy that was there before, for injectproxy itself"})
	return e
}

// Roots returns the files of roots that environ names for one client or
// another, each once. A bundle that takes their place has to hold what they do.
func Roots(environ []string) []string {
	var files []string
	for _, k := range known {
		if k.kind != replaced && k.kind != added {
			continue
		}
		if file := lookup(environ, k.name); file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// upstreamOf is the value of INJECTPROXY_UPSTREAM.
func upstreamOf(environ []string) string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if proxy := lookup(environ, name); proxy != "" {
			return proxy
		}
	}
	return direct
}

// Apply returns environ, with what an earlier [For] did to it undone, and the
// variables of e: the environment of a child.
func (e Environment) Apply(environ []string) []string {
	out := slices.DeleteFunc(Before(environ), func(kv string) bool {
		name := nameOf(kv)
		return slices.ContainsFunc(e.Variables, func(v Variable) bool { return same(v.Name, name) })
	})
	for _, v := range e.Variables {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}
