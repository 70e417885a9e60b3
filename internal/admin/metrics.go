package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
)

// measures shows the metrics: to everybody on this machine, where nobody else
// reaches the port, and otherwise to who has the token.
func (s *Server) measures(w http.ResponseWriter, r *http.Request) {
	if !s.loopback && !s.metrics.shownBy(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="injectproxy"`)
		say(w, http.StatusUnauthorized, "not admitted: /metrics wants the token of token_file in [admin] as a bearer token")
		return
	}
	s.o.Metrics.ServeHTTP(w, r)
}

// metricsToken is the token in a file, that may be replaced at any time. While
// it cannot be read nobody has it.
type metricsToken struct {
	file string
	log  *slog.Logger

	mu  sync.Mutex
	why string // it could not be read when that was last tried
}

// shownBy reports whether r shows the token (RFC 6750, section 2.1).
func (t *metricsToken) shownBy(r *http.Request) bool {
	want, err := readToken(t.file)
	t.tell(err)
	header := r.Header["Authorization"]
	if err != nil || len(header) != 1 {
		return false
	}
	scheme, value, _ := strings.Cut(header[0], " ")
	wanted, got := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(strings.TrimLeft(value, " ")))
	// The length keeps EqualFold to ASCII.
	return len(scheme) == len("Bearer") && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(wanted[:], got[:]) == 1
}

// tell logs why nobody is shown the metrics, once for each reason.
func (t *metricsToken) tell(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	t.mu.Lock()
	changed := why != t.why
	t.why = why
	t.mu.Unlock()
	switch {
	case changed && err != nil:
		t.log.Warn("/metrics is closed: the network reaches this port, and there is no token to ask for", "problem", why,
			"hint", "write a long random token to the file of token_file in [admin]")
	case changed:
		t.log.Info("/metrics is open to who has the token", "file", t.file)
	}
}

// MetricsClosed says why /metrics is shown to nobody, though somebody has asked
// for it over the network; "" if nobody has, or it is open to who has the token.
func (s *Server) MetricsClosed() string {
	t := &s.metrics
	t.mu.Lock()
	why := t.why
	t.mu.Unlock()
	if why == "" {
		return ""
	}
	if _, err := readToken(t.file); err != nil {
		return err.Error()
	}
	return "" // it was mended since
}

// maxToken bounds what is read of the file.
const maxToken = 4096

func readToken(file string) (string, error) {
	if file == "" {
		return "", errors.New("[admin] has no token_file")
	}
	if info, err := os.Stat(file); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() { // a pipe would keep the request waiting for a writer
		return "", errors.New(file + ": not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New(file + ": its content is not a token")
	}
	return token, nil
}
