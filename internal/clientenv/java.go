package clientenv

import (
	"net/netip"
	"strings"
)

// javaOptions returns the value of JAVA_TOOL_OPTIONS, "" to leave it as it is,
// and what Java's user has to know.
//
// The JVM prints the value on stderr, so it never holds the credential, and
// Java can send one only from code (an Authenticator). Where the proxy admits
// nobody without it, Java gets the trust store and no proxy, as every one of
// its requests would fail.
func javaOptions(s Settings, old, noProxy string) (value, note string) {
	if s.TrustStore == "" {
		return "", ""
	}
	if strings.Contains(old, "-Djavax.net.ssl.trustStore=") {
		return "", "JAVA_TOOL_OPTIONS names a trust store of its own, so Java is left alone: import " + s.RootFile + " into that store (keytool -importcert), and set https.proxyHost and https.proxyPort."
	}
	options := []string{
		"-Djavax.net.ssl.trustStore=" + s.TrustStore,
		"-Djavax.net.ssl.trustStoreType=jks",
	}
	if s.Proxy.User != nil && !s.Anonymous {
		note = "Java cannot take the proxy's credential from a variable, so it is not sent through the proxy: a program with an Authenticator of its own can be."
	} else {
		options = append(options,
			"-Dhttps.proxyHost="+s.Proxy.Hostname(),
			"-Dhttps.proxyPort="+s.Proxy.Port(),
			"-Dhttp.nonProxyHosts="+nonProxyHosts(noProxy)) // it is for https too
	}
	for i, o := range options {
		options[i] = jvmQuote(o)
	}
	if old != "" {
		options = append([]string{old}, options...)
	}
	return strings.Join(options, " "), note
}

// nonProxyHosts returns the entries of a NO_PROXY in Java's form, as far as
// that goes: it has neither ports nor ranges, but for those that end at a dot.
func nonProxyHosts(noProxy string) string {
	hosts := []string{"localhost", "127.*", "[::1]"} // its default, which the property replaces
	for _, entry := range entries(noProxy) {
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			if n := prefix.Bits() / 8; prefix.Addr().Is4() && prefix.Bits()%8 == 0 && n > 0 && n < 4 {
				octets := strings.SplitN(prefix.Masked().Addr().String(), ".", n+1)
				hosts = append(hosts, strings.Join(octets[:n], ".")+".*")
			}
			continue
		}
		if strings.ContainsAny(entry, `:/|"'`) || isLoopback(entry) {
			continue
		}
		domain := strings.TrimPrefix(strings.TrimPrefix(entry, "*"), ".")
		if _, err := netip.ParseAddr(entry); err == nil || domain == "" || strings.Contains(domain, "*") {
			hosts = append(hosts, entry)
			continue
		}
		hosts = append(hosts, domain, "*."+domain)
	}
	return strings.Join(hosts, "|")
}

func isLoopback(entry string) bool {
	for _, l := range loopback {
		if entry == l {
			return true
		}
	}
	return false
}

// jvmQuote returns s as one word of JAVA_TOOL_OPTIONS: the JVM splits at white
// space and knows both quotes, within which nothing is special but their end.
func jvmQuote(s string) string {
	if !strings.ContainsAny(s, " \t\r\n\v\f'\"") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `"'"'"`) + `"`
}
