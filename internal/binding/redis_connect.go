package binding

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How connections are used. Each asks and waits for the answer: a millisecond away
// these are tens of thousands of requests in a second.
const (
	mostConnections = 64
	mostIdle        = 3 * time.Minute
	connBuffer      = 4 << 10
)

// options are those of the library. It does not ask again by itself: see put.
func (r *Redis) options(o RedisOptions) (*redis.Options, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("its URL is none")
	}
	at, db, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	return &redis.Options{
		Addr: at, DB: db,
		Protocol: 2, DisableIdentity: true, // nothing is pushed; old servers, and users who may do what is needed alone, know no more
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},

		Dialer:                     r.dialer(u.Scheme == "rediss", u.Hostname(), o.TLS),
		CredentialsProviderContext: credentials(u.User, o.PasswordFile),

		DialTimeout: r.wait, ReadTimeout: r.wait, WriteTimeout: r.wait, ContextTimeoutEnabled: true,
		DialerRetries: 1, MaxRetries: -1,
		PoolSize: mostConnections, PoolTimeout: 2 * r.wait, PipelinePoolSize: -1, ConnMaxIdleTime: mostIdle,
		ReadBufferSize: connBuffer, WriteBufferSize: connBuffer,
	}, nil
}

// addressOf returns where u leads: host:port, and the number of a database.
func addressOf(u *url.URL) (at string, db int, err error) {
	number := strings.Trim(u.Path, "/")
	if number != "" {
		db, err = strconv.Atoi(number)
	}
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return "", 0, errors.New("its URL has to begin with redis:// or rediss://")
	case u.Hostname() == "":
		return "", 0, errors.New("its URL names no host")
	case err != nil || db < 0:
		return "", 0, errors.New("the path of its URL has to be the number of a database, or none")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", 0, errors.New("its URL has to end behind the path")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(u.Hostname(), port), db, nil
}

// dialer makes connections, also where the library does so for nobody in
// particular, until r is closed.
func (r *Redis) dialer(secure bool, host string, trust *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: r.wait}
	dial := plain.DialContext
	if secure {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if trust != nil {
			config = trust.Clone()
		}
		config.ServerName, config.MinVersion = host, max(config.MinVersion, tls.VersionTLS12)
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&tls.Dialer{NetDialer: plain, Config: config}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return secureConn{c.(*tls.Conn)}, nil
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, r.wait)
		defer cancel()
		defer context.AfterFunc(r.over, cancel)()
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, unmade{err}
		}
		return c, nil
	}
}

// secureConn has the library see that Redis has closed a connection before it is
// used, which it looks for in the system's socket. Otherwise all that were idle when
// Redis began anew would fail one question each.
type secureConn struct{ *tls.Conn }

// SyscallConn implements [syscall.Conn].
func (c secureConn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.NetConn().(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// credentials returns what a new connection shows: the user of the URL, and the
// password of the file as it is now.
func credentials(user *url.Userinfo, file string) func(context.Context) (string, string, error) {
	name := user.Username()
	password, _ := user.Password()
	return func(context.Context) (string, string, error) {
		if file == "" {
			return name, password, nil
		}
		password, err := passwordOf(file)
		if err != nil {
			return "", "", unmade{fmt.Errorf("its password cannot be read: %w", err)}
		}
		return name, password, nil
	}
}

// mostPassword is the largest file of a password, in bytes.
const mostPassword = 64 << 10

// passwordOf reads a password as it was found well when the gate began: a mark of the
// order of bytes, and blanks around it, are of whoever wrote the file.
func passwordOf(file string) (string, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular(): // a FIFO would block
		return "", errors.New(file + " is not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, mostPassword+1))
	switch password := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff")); {
	case err != nil:
		return "", err
	case len(b) > mostPassword || password == "":
		return "", errors.New(file + " holds no password")
	default:
		return password, nil
	}
}

// LibraryLog has what go-redis says by its own logger written to l, at level debug:
// it knows one for the whole program. What matters a Redis tells by itself.
func LibraryLog(l *slog.Logger) { redis.SetLogger(libraryLog{l}) }

type libraryLog struct{ *slog.Logger }

// Printf implements the logger of go-redis.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, fmt.Sprintf(format, args...), "library", "go-redis")
	}
}
