package clientenv

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// settings are those of a proxy for one rule, in an environment.
func settings(environ ...string) Settings {
	return Settings{
		Proxy: &url.URL{Scheme: "http", Host: "127.0.0.1:8877"}, RootFile: "/h/ca.pem", BundleFile: "/h/bundle.pem", TrustStore: "/h/trust.jks",
		Authorities: []string{"mcp.corp.example:443"}, Environ: environ,
	}
}

// asMap returns the variables by name, and fails if one is there twice.
func asMap(t *testing.T, e Environment) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, v := range e.Variables {
		if _, twice := m[v.Name]; twice {
			t.Errorf("%s is set twice", v.Name)
		}
		if v.Value == "" || v.Reason == "" {
			t.Errorf("%+v is not complete", v)
		}
		m[v.Name] = v.Value
	}
	return m
}

func TestEachClientGetsItsVariables(t *testing.T) {
	got := asMap(t, For(settings("PATH=/bin")))
	want := map[string]string{
		"HTTPS_PROXY": "http://127.0.0.1:8877", "https_proxy": "http://127.0.0.1:8877",
		"NO_PROXY": "localhost,127.0.0.1,::1,[::1]", "no_proxy": "localhost,127.0.0.1,::1,[::1]",
		"NODE_USE_ENV_PROXY": "1", "NODE_EXTRA_CA_CERTS": "/h/ca.pem", "DENO_CERT": "/h/ca.pem",
		"SSL_CERT_FILE": "/h/bundle.pem", "CODEX_CA_CERTIFICATE": "/h/bundle.pem", "CURL_CA_BUNDLE": "/h/bundle.pem",
		"GIT_SSL_CAINFO": "/h/bundle.pem", "REQUESTS_CA_BUNDLE": "/h/bundle.pem", "PIP_CERT": "/h/bundle.pem",
		"AWS_CA_BUNDLE": "/h/bundle.pem", "CARGO_HTTP_CAINFO": "/h/bundle.pem",
		"JAVA_TOOL_OPTIONS": "-Djavax.net.ssl.trustStore=/h/trust.jks -Djavax.net.ssl.trustStoreType=jks " +
			"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8877 -Dhttp.nonProxyHosts=localhost|127.*|[::1]",
		"INJECTPROXY_UPSTREAM": "direct",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s=%s, want %s", name, got[name], value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is set too", name)
		}
	}
}

// corporate is an environment in which most variables have a value already.
var corporate = []string{
	"PATH=/bin", "HTTPS_PROXY=http://u:p@corp:3128", "HTTP_PROXY=http://corp:3128", "ALL_PROXY=socks5://corp:1080",
	"no_proxy=.corp.example, 10.0.0.0/8", "NODE_EXTRA_CA_CERTS=/corp.pem", "SSL_CERT_FILE=/corp.pem", "JAVA_TOOL_OPTIONS=-Xmx1g",
}

func TestWhatWasThereBeforeIsKept(t *testing.T) {
	e := For(settings(corporate...))
	got := asMap(t, e)
	for name, want := range map[string]string{
		"INJECTPROXY_UPSTREAM":                   "http://u:p@corp:3128",
		"INJECTPROXY_BEFORE_HTTPS_PROXY":         "http://u:p@corp:3128",
		"INJECTPROXY_BEFORE_https_proxy":         "",
		"INJECTPROXY_BEFORE_no_proxy":            ".corp.example, 10.0.0.0/8",
		"INJECTPROXY_BEFORE_SSL_CERT_FILE":       "/corp.pem",
		"INJECTPROXY_BEFORE_NODE_EXTRA_CA_CERTS": "/corp.pem",
		"NO_PROXY":                               "10.0.0.0/8,localhost,127.0.0.1,::1,[::1]",
		"NODE_EXTRA_CA_CERTS":                    "/h/bundle.pem", // it has what /corp.pem has
		"HTTP_PROXY":                             "",
		"ALL_PROXY":                              "",
	} {
		if got[name] != want {
			t.Errorf("%s=%s, want %s", name, got[name], want)
		}
	}
	if !strings.HasPrefix(got["JAVA_TOOL_OPTIONS"], "-Xmx1g -Djavax.net.ssl.trustStore=") {
		t.Errorf("JAVA_TOOL_OPTIONS=%s", got["JAVA_TOOL_OPTIONS"])
	}
	if !slices.Equal(e.Lifted, []string{".corp.example"}) {
		t.Errorf("lifted %q", e.Lifted)
	}
}

func TestASecondTimeChangesNothing(t *testing.T) {
	for name, environ := range map[string][]string{"bare": {"PATH=/bin"}, "corporate": corporate, "own trust store": {"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/own"}} {
		once := For(settings(environ...)).Apply(environ)
		twice := For(settings(once...)).Apply(once)
		if !slices.Equal(once, twice) {
			t.Errorf("%s: once\n%q\ntwice\n%q", name, once, twice)
		}
	}
}

func TestBeforeAndUndoLeadBack(t *testing.T) {
	for name, environ := range map[string][]string{"bare": {"PATH=/bin"}, "corporate": corporate, "own trust store": {"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/own"}} {
		want := slices.Sorted(slices.Values(environ))
		applied := For(settings(environ...)).Apply(environ)
		if got := slices.Sorted(slices.Values(Before(applied))); !slices.Equal(got, want) {
			t.Errorf("%s: before\n%q, want\n%q", name, got, want)
		}
		undone := slices.Clone(applied)
		for _, v := range Undo(applied) {
			undone = slices.DeleteFunc(undone, func(kv string) bool { return nameOf(kv) == v.Name })
			if v.Value != "" {
				undone = append(undone, v.Name+"="+v.Value)
			}
		}
		if slices.Sort(undone); !slices.Equal(undone, want) {
			t.Errorf("%s: undone\n%q, want\n%q", name, undone, want)
		}
	}
}

func TestAnEnvironmentThatWasNotSetIsLeftAlone(t *testing.T) {
	if got := Before(corporate); !slices.Equal(got, corporate) {
		t.Errorf("before %q", got)
	}
	if got := Undo(corporate); got != nil {
		t.Errorf("undo %+v", got)
	}
	if proxy, noProxy, ok := Upstream(corporate); proxy != "" || noProxy != "" || ok {
		t.Errorf("upstream %q %q %v", proxy, noProxy, ok)
	}
}

func TestUpstreamIsTheProxyBefore(t *testing.T) {
	tests := []struct {
		name           string
		environ        []string
		proxy, noProxy string
	}{
		{"corporate", For(settings(corporate...)).Apply(corporate), "http://u:p@corp:3128", ".corp.example, 10.0.0.0/8"},
		{"none", For(settings()).Apply(nil), "", ""},
		{"lower case", For(settings("https_proxy=http://low:1")).Apply(nil), "http://low:1", ""},
		{"by hand", []string{"HTTPS_PROXY=http://127.0.0.1:8877", "INJECTPROXY_UPSTREAM=http://corp:3128"}, "http://corp:3128", ""},
	}
	for _, tt := range tests {
		proxy, noProxy, ok := Upstream(tt.environ)
		if proxy != tt.proxy || noProxy != tt.noProxy || !ok {
			t.Errorf("%s: %q %q %v, want %q %q", tt.name, proxy, noProxy, ok, tt.proxy, tt.noProxy)
		}
	}
}

func TestNamesWithoutCaseAreSetOnce(t *testing.T) {
	for _, v := range forSystem(settings(), true).Variables {
		if v.Name != strings.ToUpper(v.Name) {
			t.Errorf("%s is set too", v.Name)
		}
	}
}

func TestTheCredentialStaysInTheProxysURL(t *testing.T) {
	s := settings()
	s.Proxy.User = url.UserPassword("injectproxy", "CREDENTIAL")
	for _, anonymous := range []bool{false, true} {
		s.Anonymous = anonymous
		e := For(s)
		for name, value := range asMap(t, e) {
			if strings.Contains(value, "CREDENTIAL") != strings.EqualFold(name, "HTTPS_PROXY") {
				t.Errorf("%s=%s", name, value)
			}
			if name == "JAVA_TOOL_OPTIONS" && strings.Contains(value, "proxyHost") != anonymous {
				t.Errorf("anonymous %v: %s=%s", anonymous, name, value)
			}
		}
		if told := len(e.Notes) == 1; told == anonymous {
			t.Errorf("anonymous %v: notes %q", anonymous, e.Notes)
		}
	}
}
