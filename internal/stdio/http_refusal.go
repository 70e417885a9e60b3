package stdio

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	mostRefusal = 64 << 10        // bytes of a refusal's body that are read
	waitRefusal = 5 * time.Second // and how long
	mostSpent   = 64 << 10        // bytes that are read to be able to use a connection again
	waitSpent   = time.Second
	mostRetry   = 24 * time.Hour // that a server may ask for
)

// refused returns what the server says instead of doing what it was asked for.
// It closes the answer.
func refused(res *http.Response) *refusal {
	r := &refusal{
		status:     res.StatusCode,
		mediaType:  mediaType(res.Header),
		body:       beginning(res.Body, mostRefusal, waitRefusal),
		retryAfter: retryAfter(res.Header),
	}
	if res.StatusCode/100 == 3 {
		r.location = shown(location(res.Request.URL, res.Header))
	}
	return r
}

// spend reads the rest of an answer that nobody wants, if that is short, so that
// an HTTP/1 connection can carry another.
func spend(res *http.Response) { beginning(res.Body, mostSpent, waitSpent) }

// beginning reads what there is of a body within limits, and closes it.
func beginning(body io.ReadCloser, most int64, wait time.Duration) []byte {
	late := time.AfterFunc(wait, func() { body.Close() })
	defer late.Stop()
	defer body.Close()
	b, _ := io.ReadAll(io.LimitReader(body, most))
	return b
}

// mediaType returns that of an answer, in small letters and without parameters.
func mediaType(h http.Header) string {
	said := h.Get("Content-Type")
	if t, _, err := mime.ParseMediaType(said); err == nil || t != "" {
		return t
	}
	t, _, _ := strings.Cut(said, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// retryAfter reads the field of RFC 9110, section 10.2.3.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, mostRetry)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), mostRetry)
	}
	return 0
}
