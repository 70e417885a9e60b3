package proxy

import (
	"strings"
	"testing"
)

// Whatever is no host and port is refused with nothing dialled, and so is a
// CONNECT that could be read in two ways.
func TestConnectThatNamesNoAuthority(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "h1")
	connect := func(target string) string {
		return "CONNECT " + target + " HTTP/1.1\r\nHost: {A}\r\n\r\n"
	}
	for _, raw := range []string{
		connect(""), connect("*"), connect("/"), connect("//{A}"), connect("https://{A}"), connect("https://{A}/"), connect("http://{A}"), connect("{A}/"), connect("{A}/v1/x"),
		connect("{A}?"), connect("{A}#"), connect("{A}:443"), connect("{A},evil.test:443"), connect("evil.test:443,{A}"), connect("user@{A}"), connect("user:pass@{A}"),
		connect("api.test"), connect("api.test:"), connect(":443"), connect(":"), connect("api.test:0"), connect("api.test:65536"), connect("api.test:99999999999"), connect("api.test:-1"),
		connect("api.test:+443"), connect("api.test:0x1bb"), connect("api.test:https"), connect("api.test:44 3"), connect("api.test:443%20"), connect("api%2etest:443"),
		connect("[api.test]:443"), connect("[::1:443"), connect("::1:443"), connect("[::1]443"), connect("[::1]"), connect("[]:443"),
		connect("api\\test:443"), connect("api.test\x00:443"), connect("api.test\t:443"), connect("api.test\x7f:443"), connect("api.test:443 HTTP/1.1"),
		" " + connect("{A}"), strings.Replace(connect("{A}"), "CONNECT ", "CONNECT  ", 1), strings.Replace(connect("{A}"), "CONNECT ", "CONNECT\t", 1),
		strings.Replace(connect("{A}"), "\r\n", "\n", 1), strings.Replace(connect("{A}"), "\r\n", "\r", 1),
		strings.Replace(connect("{A}"), "\r\n\r\n", "\r\nHost: evil.test\r\n\r\n", 1), strings.Replace(connect("{A}"), "Host:", "Host :", 1),
		strings.Replace(connect("{A}"), "\r\n\r\n", "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1),
		strings.Replace(connect("{A}"), "\r\n\r\n", "\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 1),
		strings.Replace(connect("{A}"), "\r\n\r\n", "\r\nX: a\x00b\r\n\r\n", 1), strings.Replace(connect("{A}"), "\r\n\r\n", "\r\n folded\r\n\r\n", 1),
		strings.Replace(connect("{A}"), "\r\n\r\n", "\r\nX\r\n\r\n", 1),
	} {
		raw = fill(raw, w.authority, "")
		t.Run(raw, func(t *testing.T) {
			wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", raw), 400, "malformed-request")
			w.wantNothingSent(t)
		})
	}
}
