package proxy

import "strings"

const (
	ok      = "HTTP/1.1 200 OK\r\n"
	poison1 = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
)

// hostileAnswers are of each kind that has been used against somebody.
var hostileAnswers = []hostileAnswer{
	{name: "good", kept: true, want: "200 hello", raw: ok + "Content-Length: 5\r\n\r\nhello"},
	{name: "two at once", want: "200 hello", raw: ok + "Content-Length: 5\r\n\r\nhello" + poison1},
	{name: "two at once, chunked", want: "200 hello", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + poison1},
	{name: "two at once, the first empty", want: "200", raw: ok + "Content-Length: 0\r\n\r\n" + poison1},
	{name: "body behind HEAD", method: "HEAD", want: "200", raw: ok + "Content-Length: 60\r\n\r\n" + poison1},
	{name: "chunked body behind HEAD", method: "HEAD", want: "200", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "body behind 204", want: "204", raw: "HTTP/1.1 204 No Content\r\n\r\n" + poison1},
	{name: "length and body behind 204", want: "204", raw: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "chunks behind 204", want: "204", raw: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "body behind 304", want: "304", raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "line breaks behind", want: "200 hello", raw: ok + "Content-Length: 5\r\n\r\nhello\r\n\r\n"},

	{name: "both framings", kept: true, want: "200 hello", raw: ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "both framings, other order", kept: true, want: "200 hello", raw: ok + "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "the same length twice", kept: true, want: "200 hello", raw: ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "two lengths", want: "502", raw: ok + "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello"},
	{name: "two lengths in one", want: "502", raw: ok + "Content-Length: 5, 5\r\n\r\nhello"},
	{name: "signed length", want: "502", raw: ok + "Content-Length: +5\r\n\r\nhello"},
	{name: "negative length", want: "502", raw: ok + "Content-Length: -1\r\n\r\nhello"},
	{name: "hexadecimal length", want: "502", raw: ok + "Content-Length: 0x5\r\n\r\nhello"},
	{name: "empty length", want: "502", raw: ok + "Content-Length:\r\n\r\nhello"},
	{name: "wrapping length", want: "502", raw: ok + "Content-Length: 18446744073709551621\r\n\r\nhello"},
	{name: "unknown coding", want: "502", raw: ok + "Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "coding behind chunked", want: "502", raw: ok + "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "two codings", want: "502", raw: ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "coding behind a vertical tab", want: "502", raw: ok + "Transfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "coding in HTTP/1.0", ends: true, want: "200 5\r\nhello\r\n0", raw: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},

	{name: "bad chunk size", want: "200!", raw: ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"},
	{name: "chunk ended by LF", want: "200!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
	{name: "chunk longer than said", want: "200 hello!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhellohello\r\n0\r\n\r\n"},
	{name: "wrapping chunk size", want: "200!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"},
	{name: "no last chunk", ends: true, want: "200 hello!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	{name: "no line behind the last chunk", ends: true, want: "200 hello!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"},
	{name: "shorter than its length", ends: true, want: "200 hello!", raw: ok + "Content-Length: 6\r\n\r\nhello"},
	{name: "malformed trailer", want: "200 hello!", raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX y\r\n\r\n"},
	{name: "length for a trailer", kept: true, want: "200 hello", raw: ok + "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{name: "control bytes in a trailer", want: "200 hello!", raw: ok + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: a\x00b\rc\x07\r\n\r\n"},

	{name: "only LFs", kept: true, want: "200 hello", raw: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"},
	{name: "folded", kept: true, want: "200 hello", raw: ok + "X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "folded first", want: "502", raw: ok + " X: a\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "CR and a field in a value", want: "502", raw: ok + "X: a\rContent-Length: 100\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "CRs and an answer in a value", want: "502", raw: ok + "X: a\r\rHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "NUL in a value", want: "502", raw: ok + "X: a\x00b\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "escape in a value", want: "502", raw: ok + "X: \x1b[2J\x7f\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "blank in a name", kept: true, want: "200 hello", raw: ok + "X Y: a\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "blank before a colon", kept: true, want: "200 hello", raw: ok + "X : a\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "NUL in a name", want: "502", raw: ok + "X\x00: a\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no name", want: "502", raw: ok + ": a\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no colon", want: "502", raw: ok + "X\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "a pseudo-header", want: "502", raw: ok + ":status: 500\r\nContent-Length: 5\r\n\r\nhello"},

	{name: "control bytes in the reason", kept: true, want: "200 hello", raw: "HTTP/1.1 200 \x00\x1b\rX: y\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no reason", kept: true, want: "200 hello", raw: "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status of two digits", want: "502", raw: "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status of four digits", want: "502", raw: "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status 999", kept: true, want: "999 hello", raw: "HTTP/1.1 999 More\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "signed status", want: "502", raw: "HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no version", want: "502", raw: "200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "HTTP/0.9", ends: true, want: "502", raw: "<html>hello</html>\r\n"},
	{name: "HTTP/2 frames", ends: true, want: "502", raw: "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00"},
	{name: "another protocol", want: "502", raw: "SSH-2.0-OpenSSH_9.6\r\n"},
	{name: "nothing", ends: true, want: "502", raw: ""},
	{name: "half a status line", ends: true, want: "502", raw: "HTTP/1.1 20"},
	{name: "half a header", ends: true, want: "502", raw: ok + "Content-Length: 5\r\n"},
	{name: "a header without an end", want: "502", raw: ok + strings.Repeat("X: "+strings.Repeat("y", 64<<10)+"\r\n", 200)},

	{name: "early hints before", kept: true, want: "200 hello", raw: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello"},
	{name: "100 before", kept: true, want: "200 hello", raw: "HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello"},
	{name: "100 with a length", want: "502", raw: "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + ok + "Content-Length: 5\r\n\r\nhello"},
	{name: "flood of 100", ends: true, want: "502", raw: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100000)},
	{name: "only a 103", ends: true, want: "502", raw: "HTTP/1.1 103 Early Hints\r\n\r\n"},
}
