package gate

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often, at most, the files of a certificate are looked at: at
// the next handshake after it.
const lookEvery = time.Second

// pair is a certificate with its key, in two files that may be replaced at any
// time. A new pair counts for new connections. One that cannot be used changes
// nothing: the files may be on their way to become one.
type pair struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   [2]state
	inUse  *tls.Certificate
}

// state is what tells that a file is another one than before, links followed: a
// mounted secret is replaced by turning a link.
type state struct {
	info     os.FileInfo
	modified time.Time
	size     int64
}

func (s state) same(t state) bool {
	return s.modified.Equal(t.modified) && s.size == t.size && os.SameFile(s.info, t.info)
}

func openPair(cert, key string, log *slog.Logger) (*pair, error) {
	p := &pair{cert: cert, key: key, log: log}
	now, err := p.look()
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	loaded, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("gate: the certificate cannot be used: %w", err)
	}
	p.inUse, p.seen, p.looked = &loaded, now, time.Now()
	return p, nil
}

// certificate is the pair at the time of a handshake.
func (p *pair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) >= lookEvery {
		p.looked = time.Now()
		p.renew()
	}
	return p.inUse, nil
}

func (p *pair) expires() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse.Leaf.NotAfter
}

// renew loads the pair anew if a file of it is another one than before.
func (p *pair) renew() {
	now, err := p.look()
	switch {
	case err != nil:
		if p.seen[0].info != nil { // said once
			p.seen = [2]state{}
			p.log.Warn("the files of the certificate cannot be read; the old one stays in use", "error", err)
		}
		return
	case p.seen[0].info != nil && now[0].same(p.seen[0]) && now[1].same(p.seen[1]):
		return
	}
	p.seen = now
	loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		p.log.Warn("the new certificate cannot be used; the old one stays in use", "file", p.cert, "error", err)
		return
	}
	p.inUse = &loaded
	p.log.Info("the certificate was renewed", "file", p.cert, "expires", loaded.Leaf.NotAfter)
}

// look tells the files' state.
func (p *pair) look() (now [2]state, err error) {
	for i, file := range []string{p.cert, p.key} {
		info, err := os.Stat(file)
		if err != nil {
			return now, err
		}
		now[i] = state{info: info, modified: info.ModTime(), size: info.Size()}
	}
	return now, nil
}
