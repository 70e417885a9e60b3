package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	inner = "GET /v1/smuggled HTTP/1.1\r\nHost: @\r\n\r\n" // what an attacker wants to be a request of its own
	head  = "POST /v1/x HTTP/1.1\r\nHost: @\r\n"
	head0 = "POST /v1/x HTTP/1.0\r\nHost: @\r\nConnection: keep-alive\r\n"
)

// Requests whose end could be seen in two places. In each @ stands for the
// authority. Passed says that it may be forwarded, as one request, because
// there is but one reading.
var smuggled = map[string]struct {
	raw    string
	passed bool
}{
	"CL.TE":                          {raw: head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
	"TE.CL":                          {raw: head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2e\r\n" + inner + "\r\n0\r\n\r\n"},
	"CL 0 and TE":                    {raw: head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
	"CL and TE of another coding":    {raw: head + "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello" + inner},
	"CL and empty TE":                {raw: head + "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello" + inner},
	"CL and TE in other case":        {raw: head + "content-length: 5\r\ntRANSFER-eNCODING: cHuNkEd\r\n\r\n0\r\n\r\n" + inner},
	"two CL":                         {raw: head + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + inner},
	"two CL, other order":            {raw: head + "Content-Length: 44\r\nContent-Length: 0\r\n\r\n" + inner},
	"two CL in one":                  {raw: head + "Content-Length: 0, 44\r\n\r\n" + inner},
	"one CL twice in one":            {raw: head + "Content-Length: 5, 5\r\n\r\nhello" + inner},
	"negative CL":                    {raw: head + "Content-Length: -1\r\n\r\n" + inner},
	"signed CL":                      {raw: head + "Content-Length: +5\r\n\r\nhello" + inner},
	"hexadecimal CL":                 {raw: head + "Content-Length: 0x5\r\n\r\nhello" + inner},
	"CL with underscore":             {raw: head + "Content-Length: 1_0\r\n\r\nhellohello" + inner},
	"fractional CL":                  {raw: head + "Content-Length: 5.0\r\n\r\nhello" + inner},
	"CL with text":                   {raw: head + "Content-Length: 5 x\r\n\r\nhello" + inner},
	"empty CL":                       {raw: head + "Content-Length:\r\n\r\n" + inner},
	"huge CL":                        {raw: head + "Content-Length: 99999999999999999999\r\n\r\n" + inner},
	"wrapping CL":                    {raw: head + "Content-Length: 18446744073709551617\r\n\r\nh" + inner},
	"CL padded to great length":      {raw: head + "Content-Length: " + strings.Repeat("0", 80) + "5\r\n\r\nhello" + inner},
	"CL folded":                      {raw: head + "Content-Length:\r\n 5\r\n\r\nhello" + inner},
	"CL continued":                   {raw: head + "Content-Length: 4\r\n 4\r\n\r\n" + inner},
	"CL with a vertical tab":         {raw: head + "Content-Length: \x0b5\r\n\r\nhello" + inner},
	"blank before the colon of CL":   {raw: head + "Content-Length : 44\r\n\r\n" + inner},
	"tab before the colon of TE":     {raw: head + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + inner},
	"blank before the colon of TE":   {raw: head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner},
	"blank before TE":                {raw: "POST /v1/x HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: @\r\n\r\n0\r\n\r\n" + inner},
	"folded TE behind CL":            {raw: head + "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + inner},
	"two TE":                         {raw: head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
	"two TE, one unknown":            {raw: head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + inner},
	"TE list":                        {raw: head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner},
	"TE list, chunked last":          {raw: head + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + inner},
	"TE with prefix":                 {raw: head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner},
	"TE quoted":                      {raw: head + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + inner},
	"TE with parameter":              {raw: head + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + inner},
	"TE behind a vertical tab":       {raw: head + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + inner},
	"TE before a NUL":                {raw: head + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + inner},
	"TE behind a bare CR":            {raw: head + "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
	"TE behind a bare LF":            {raw: head + "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
	"TE in HTTP/1.0":                 {raw: head0 + "Transfer-Encoding: chunked\r\n\r\n" + inner},
	"TE and CL in HTTP/1.0":          {raw: head0 + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + inner},
	"header ended by bare LFs":       {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nX: y\n\n" + inner},
	"header ended by LF CRLF":        {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nX: y\n\r\n" + inner},
	"header ended by CRLF LF":        {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\n\n" + inner},
	"header ended by bare CRs":       {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\rGET /v1/smuggled HTTP/1.1\r\n\r\n"},
	"only bare LFs":                  {raw: "GET /v1/x HTTP/1.1\nHost: @\n\nGET /v1/smuggled HTTP/1.1\nHost: @\n\n"},
	"bare LF in the request line":    {raw: "GET /v1/x\nGET /v1/smuggled HTTP/1.1\r\nHost: @\r\n\r\n"},
	"bare CR in the request line":    {raw: "GET /v1/x\rGET /v1/smuggled HTTP/1.1\r\nHost: @\r\n\r\n"},
	"CR CR LF":                       {raw: "GET /v1/x HTTP/1.1\r\r\nHost: @\r\n\r\n" + inner},
	"blank line of blanks":           {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\n \r\n" + inner[:len(inner)-2] + "X: y\r\n\r\n"},
	"folded first field":             {raw: "GET /v1/x HTTP/1.1\r\n X: y\r\nHost: @\r\n\r\n" + inner},
	"blanks in the request line":     {raw: "GET  /v1/x  HTTP/1.1\r\nHost: @\r\n\r\n" + inner},
	"tabs in the request line":       {raw: "GET\t/v1/x\tHTTP/1.1\r\nHost: @\r\n\r\n" + inner},
	"two requests in a line":         {raw: "GET /v1/x HTTP/1.1 GET /v1/smuggled HTTP/1.1\r\nHost: @\r\n\r\n"},
	"HTTP/0.9":                       {raw: "GET /v1/x\r\n\r\n" + inner},
	"HTTP/2 preface":                 {raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner},
	"NUL in a field's value":         {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nX: a\x00b\r\n\r\n" + inner},
	"NUL in a field's name":          {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nX\x00Y: a\r\n\r\n" + inner},
	"NUL in the request line":        {raw: "GET /v1/x\x00 HTTP/1.1\r\nHost: @\r\n\r\n" + inner},
	"field without a name":           {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\n: a\r\n\r\n" + inner},
	"field without a colon":          {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nfoo\r\n\r\n" + inner},
	"chunk ended by a bare LF":       {raw: head + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + inner},
	"chunk data ended by a bare LF":  {raw: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n" + inner},
	"chunk longer than said":         {raw: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhellohello\r\n0\r\n\r\n" + inner},
	"chunk size with prefix":         {raw: head + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + inner},
	"chunk size with sign":           {raw: head + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + inner},
	"negative chunk size":            {raw: head + "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n" + inner},
	"no chunk size":                  {raw: head + "Transfer-Encoding: chunked\r\n\r\n;x\r\nhello\r\n0\r\n\r\n" + inner},
	"wrapping chunk size":            {raw: head + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" + inner},
	"bare LF in a chunk extension":   {raw: head + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n" + inner},
	"bare CR in a chunk extension":   {raw: head + "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n" + inner},
	"last chunk ended by bare LFs":   {raw: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\n" + inner},
	"trailers ended by bare LFs":     {raw: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\n\n" + inner},
	"request behind an upgrade":      {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + inner, passed: true},
	"request behind a CONNECT":       {raw: "CONNECT @ HTTP/1.1\r\nHost: @\r\n\r\n" + inner},
	"request as a body":              {raw: head + "Content-Length: $\r\n\r\n" + inner, passed: true},
	"request as a chunk":             {raw: head + "Transfer-Encoding: chunked\r\n\r\n%\r\n" + inner + "\r\n0\r\n\r\n", passed: true},
	"request as a chunk extension":   {raw: head + "Transfer-Encoding: chunked\r\n\r\n5;GET /v1/smuggled HTTP/1.1\r\nhello\r\n0\r\n\r\n", passed: true},
	"quoted chunk extension":         {raw: head + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;last\r\n\r\n", passed: true},
	"request as a folded field":      {raw: "GET /v1/x HTTP/1.1\r\nHost: @\r\nX: y\r\n GET /v1/smuggled HTTP/1.1\r\n\r\n", passed: true},
	"request as trailers":            {raw: head + "Transfer-Encoding: chunked\r\n\r\n0\r\nGET: /v1/smuggled HTTP/1.1\r\n\r\n", passed: true},
	"the same CL twice":              {raw: head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", passed: true},
	"CL in other case":               {raw: head + "cOnTeNt-LeNgTh: 5\r\n\r\nhello", passed: true},
	"length that is another field":   {raw: head + "X-Content-Length: 5\r\nContent_Length: 5\r\nContent-Length: 0\r\n\r\n", passed: true},
	"Connection names the length":    {raw: head + "Connection: Content-Length\r\nContent-Length: $\r\n\r\n" + inner, passed: true},
	"Connection names Transfer-Enc.": {raw: head + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n%\r\n" + inner + "\r\n0\r\n\r\n", passed: true},
}

// No request comes out of another one, and whatever is refused is told so.
func TestSmuggling(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		w := newWatched(t, upstream)
		for name, c := range smuggled {
			raw := strings.ReplaceAll(c.raw, "@", w.authority)
			request := strings.ReplaceAll(inner, "@", w.authority)
			raw = strings.ReplaceAll(raw, "$", decimal(len(request)))
			raw = strings.ReplaceAll(raw, "%", hexadecimal(len(request)))
			for _, cut := range []int{0, 1, 7} { // at once, and in pieces
				t.Run(name+", "+upstream+" upstream", func(t *testing.T) { smuggle(t, w, raw, cut, c.passed) })
			}
		}
	}
}

// smuggle sends raw, in pieces of size cut unless that is 0, with a harmless
// request behind it.
func smuggle(t *testing.T, w *watched, raw string, cut int, passed bool) {
	c := w.tlsTo(w.authority, "http/1.1")
	method, _, _ := strings.Cut(raw, " ")
	go sendPieces(c, raw+get1("/v1/marker", w.authority, "Connection: close"), cut)
	statuses := finalStatuses(t, c, method)
	var targets []string
	for _, s := range w.upstream.take() {
		if s.target == "/v1/smuggled" {
			t.Errorf("a request was smuggled: upstream saw %+v", s)
		}
		if s.bodyErr == nil { // what broke off was no request
			targets = append(targets, s.target)
		}
	}
	switch {
	case len(statuses) == 0:
		t.Fatal("closed without an answer")
	case passed && (statuses[0] != 200 || len(targets) == 0 || targets[0] != "/v1/x"):
		t.Errorf("statuses %v, upstream saw %q: want it forwarded", statuses, targets)
	case !passed && (!isRefusal(statuses[0]) || len(statuses) > 1 || len(targets) > 0):
		t.Errorf("statuses %v, upstream saw %q: want one refusal", statuses, targets)
	}
}

func isRefusal(status int) bool { return status/100 == 4 }

func sendPieces(c io.Writer, raw string, size int) {
	if size == 0 {
		size = len(raw)
	}
	for piece := range slices.Chunk([]byte(raw), size) {
		if _, err := c.Write(piece); err != nil {
			return // refused already
		}
	}
}

// finalStatuses reads responses until the connection ends.
func finalStatuses(t *testing.T, c *tls.Conn, method string) (list []int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(guard))
	for r := bufio.NewReader(c); ; method = "GET" {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			if isTimeout(err) {
				t.Errorf("after %v: %v", list, err)
			}
			return list
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %v: %v", list, err)
		}
		list = append(list, res.StatusCode)
	}
}

// wire is a connection on which a client has sent what there is to read.
type wire struct {
	net.Conn
	sent io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.sent.Read(p) }

// What makes a request malformed is never taken for a part of its body.
func TestAmbiguousRequestGainsNothing(t *testing.T) {
	refused := 0
	for name, c := range smuggled {
		raw := []byte(strings.ReplaceAll(c.raw, "@", "api.test"))
		if _, err := new(framing).pass(raw); err == nil {
			continue
		}
		refused++
		r := bufio.NewReader(&http1Conn{Conn: wire{sent: bytes.NewReader(raw)}})
		req, err := http.ReadRequest(r)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(req.Body)
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix("hello", string(body)) {
			t.Errorf("%s: body %q, %v: want what was sent of it, and that it is malformed", name, body, err)
		}
	}
	if refused == 0 {
		t.Error("none is refused")
	}
}

// The upstream of a request that broke off sees that, and may answer before
// its connection is closed.
func TestAnswerToARequestThatBrokeOffIsNotPassedOn(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized} {
		closed := make(chan struct{})
		origins := newOrigins(t)
		w := newWorld(t, origins, worldOptions{
			prefixes: []string{"https://api.test"},
			route: func(string, http.RoundTripper) http.RoundTripper {
				return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					io.Copy(io.Discard, r.Body)
					rec := httptest.NewRecorder()
					rec.WriteHeader(status)
					res := rec.Result()
					res.Request, res.Body = r, closing{res.Body, closed}
					return res, nil
				})
			},
		})
		c := w.tlsTo("api.test:443", "http/1.1")
		raw := request1("POST", "/", []string{"Host: api.test", "Transfer-Encoding: chunked"}, "5\r\nhello\n")
		wantAnswer(t, rawHTTP1(t, c, "POST", raw), http.StatusBadRequest, "malformed-request")
		<-closed
	}
}

// closing is a body whose Close is noticed.
type closing struct {
	io.ReadCloser
	closed chan struct{}
}

func (c closing) Close() error { close(c.closed); return c.ReadCloser.Close() }

// Those that came first in the same segment are no worse for what follows.
func TestRequestsBeforeAnAmbiguousOneAreAnswered(t *testing.T) {
	w := newWatched(t, "h1")
	good := get1("/v1/good", w.authority)
	chunked := request1("POST", "/v1/good", []string{"Host: " + w.authority, "Transfer-Encoding: chunked"}, "5\r\nhello\r\n0\r\n\r\n")
	c := w.tlsTo(w.authority, "http/1.1")
	raw := good + chunked + strings.ReplaceAll(smuggled["header ended by bare LFs"].raw, "@", w.authority)
	go sendPieces(c, raw, 0)
	if got := finalStatuses(t, c, "GET"); !slices.Equal(got, []int{200, 200, 400}) {
		t.Errorf("statuses %v", got)
	}
	if n := len(w.upstream.take()); n != 2 {
		t.Errorf("upstream saw %d requests", n)
	}
}

func decimal(n int) string     { return strconv.Itoa(n) }
func hexadecimal(n int) string { return strconv.FormatInt(int64(n), 16) }
