package source

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// storeName is what the system's store has of this program.
const storeName = "injectproxy"

// realm is what one sign-in is good for: every API of a tenant.
type realm struct {
	authority    string // URL
	tenant       string // in lower case; "" is that of the account
	undiscovered bool   // the authority is not confirmed by the public cloud
}

// Sessions keeps who has signed in by device code or browser, one for each
// tenant, for all the sources that are given it: a sign-in to one of a tenant's
// APIs is one to all of them. It is safe for concurrent use.
//
// Refresh tokens go to the system's own store, and nothing that is secret to a
// file of this program's: its directory holds who signed in (azidentity's
// authentication record), for a later process to find the tokens by. Where the
// system has no store, a sign-in ends with the process, and one made by another
// process does not help this one.
type Sessions struct {
	dir   string
	log   *slog.Logger
	store func() (cache azidentity.Cache, ok bool)

	mu  sync.Mutex
	all map[realm]*session
}

// NewSessions returns the sessions whose records lie in dir, which is made when
// first needed; "" keeps everything in memory. Nothing is opened yet. A nil log
// discards what it is told: that the system has no store, at most once.
func NewSessions(dir string, log *slog.Logger) *Sessions {
	return newSessions(dir, storeName, log)
}

func newSessions(dir, name string, log *slog.Logger) *Sessions {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Sessions{dir: dir, log: log, all: make(map[realm]*session)}
	s.store = sync.OnceValues(func() (azidentity.Cache, bool) {
		if dir == "" {
			return azidentity.Cache{}, false
		}
		cache, err := openStore(name)
		if err != nil {
			log.Warn("sign-ins are kept in memory, by the process in which they are made: the system has no store for them", "error", err)
		}
		return cache, err == nil
	})
	return s
}

// of returns the session in r.
func (s *Sessions) of(r realm) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[r] == nil {
		s.all[r] = &session{Sessions: s, realm: r, path: s.recordPath(r)}
	}
	return s.all[r]
}

// recordPath names the file of r. A tenant has only letters, digits, dots and
// hyphens.
func (s *Sessions) recordPath(r realm) string {
	if s.dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(r.authority + "\n" + r.tenant + "\n" + azureCLI))
	name := "account"
	if r.tenant != "" {
		name = "tenant-" + r.tenant
	}
	return filepath.Join(s.dir, name+"-"+hex.EncodeToString(sum[:4])+".json")
}

// session is who has signed in to a realm.
type session struct {
	*Sessions
	realm
	path    string       // of the record; "" keeps none
	signIns atomic.Int64 // made by this process

	mu      sync.Mutex
	current credential  // of who signed in last, nil if nobody has
	record  fs.FileInfo // of the file that current comes from, or that it left
}

// kept reports whether a sign-in outlives this process.
func (s *session) kept() bool {
	if s.path == "" {
		return false
	}
	_, ok := s.store()
	return ok
}

// mark is a moment in a session's life.
type mark struct {
	signIns int64
	record  fs.FileInfo
}

func (s *session) mark() mark {
	m := mark{signIns: s.signIns.Load()}
	if s.path != "" {
		m.record, _ = os.Stat(s.path) // no file is no sign-in
	}
	return m
}

// since reports whether somebody has signed in since m, in this process or in
// another.
func (s *session) since(m mark) bool {
	now := s.mark()
	return now.signIns != m.signIns || now.record != nil && (m.record == nil || !same(now.record, m.record))
}

// credential returns the one of who signed in last, here or in another
// process, or nil if nobody has.
func (s *session) credential() credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return s.current
	}
	info, err := os.Stat(s.path)
	if err != nil || s.record != nil && same(info, s.record) {
		return s.current // what is in memory counts as long as nothing else does
	}
	cache, ok := s.store()
	if !ok {
		return s.current
	}
	s.record = info
	record, err := readRecord(s.path)
	if err == nil {
		var c credential
		if c, err = s.device(cache, record, nil); err == nil {
			s.current = c
			return c
		}
	}
	s.log.Warn("who signed in cannot be read", "file", s.path, "error", err)
	return s.current
}

// adopt makes c, whose user has just signed in, that of the session.
func (s *session) adopt(c credential, record azidentity.AuthenticationRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = c
	defer s.signIns.Add(1)
	if _, kept := s.store(); !kept {
		return
	}
	if err := writeRecord(s.path, record); err != nil {
		s.log.Warn("the sign-in ends with this process", "error", err)
		return
	}
	s.record, _ = os.Stat(s.path) // another process's, if it was that quick
}
