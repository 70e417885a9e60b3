package binding

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestURLOfRedisIsReadStrictly(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://host": "host:6379/0", "rediss://host:7": "host:7/0", "redis://host/": "host:6379/0", "redis://u:p@host/5": "host:6379/5",
		"redis://[::1]": "[::1]:6379/0", "redis://[::1]:7/15": "[::1]:7/15",
		"": "", "host:6379": "", "http://host": "", "redis:host": "", "redis://": "", "redis://:6379": "", "redis://host/a": "", "redis://host/-1": "", "redis://host/1/2": "",
		"redis://host?db=1": "", "redis://host?": "", "redis://host#x": "", "unix:///run/redis": "", "redis://host:port": "", "redis://u:canary@host:port": "", "redis://u:canary@host/x": "",
	} {
		r, err := NewRedis(RedisOptions{URL: url})
		got := ""
		if err == nil {
			o := r.current().Options()
			got = o.Addr + "/" + string(rune('0'+o.DB%10))
			if o.DB >= 10 {
				got = o.Addr + "/15"
			}
			r.Close()
		} else if strings.Contains(err.Error(), "canary") || !strings.HasPrefix(err.Error(), "redis: ") {
			t.Errorf("%q: %v", url, err)
		}
		if got != want {
			t.Errorf("%q is %q, %v; want %q", url, got, err, want)
		}
	}
}

// trusted is what a server shows, and who trusts it.
func trusted(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ts := httptest.NewTLSServer(nil)
	t.Cleanup(ts.Close)
	roots := x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	return &tls.Config{Certificates: ts.TLS.Certificates}, &tls.Config{RootCAs: roots}
}

func TestRedisIsReachedByTLS(t *testing.T) {
	t.Parallel()
	server, client := trusted(t)
	s := begin(t, server)
	a := of("a", "http://u")
	table := s.table(t, func(o *RedisOptions) { o.TLS = client })
	bind(t, table, "id", a, a)
	if has(t, table, "id", a); len(s.came) != 1 {
		t.Errorf("two questions took %d connections", len(s.came))
	}
	elsewhere := client.Clone()
	elsewhere.ServerName = "example.com" // of which the certificate is
	for name, change := range map[string]func(*RedisOptions){
		"its certificate is not trusted": func(*RedisOptions) {},
		"its name is another":            func(o *RedisOptions) { o.TLS, o.URL = client, strings.Replace(o.URL, "127.0.0.1", "localhost", 1) },
		"its name is not the URL's":      func(o *RedisOptions) { o.TLS, o.URL = elsewhere, strings.Replace(o.URL, "127.0.0.1", "localhost", 1) },
		"it is asked in the clear":       func(o *RedisOptions) { o.TLS, o.URL = client, strings.Replace(o.URL, "rediss", "redis", 1) },
		"it speaks too old a version":    func(o *RedisOptions) { o.TLS = client.Clone(); o.TLS.MinVersion = tls.VersionTLS13 + 1 },
	} {
		table := s.table(t, change)
		err := table.Ping(t.Context())
		if err == nil || table.Up() || strings.HasPrefix(name, "its") && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if client.ServerName != "" {
		t.Error("what it was given was changed")
	}
}

// TestConnectionsThatRedisHasClosedAreNotUsed holds for many at once: a Redis that
// began anew has answered none of those before.
func TestConnectionsThatRedisHasClosedAreNotUsed(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		server, client := trusted(t)
		if !secure {
			server = nil
		}
		s := begin(t, server)
		table := s.table(t, func(o *RedisOptions) { o.TLS = client })
		s.connect(t, table, 30)
		s.kill()
		for range 30 {
			<-s.gone
		}
		s.run(t)
		for i := range 30 {
			if err := table.Ping(t.Context()); err != nil {
				t.Fatalf("TLS %v: the question %d was put to a Redis that is no more: %v", secure, i, err)
			}
		}
	}
}

// connect has table make n connections, with those it has.
func (s *store) connect(t *testing.T, table *Redis, n int) {
	t.Helper()
	had := int(table.current().PoolStats().TotalConns)
	s.hang(t)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { _ = table.Ping(t.Context()) })
	}
	for range n - had {
		<-s.came
	}
	s.goOn(t)
	all.Wait()
}

// TestConnectionsThatLeadNowhereAreGivenUpAtOnce holds for many, of which nobody was
// told that they are over: what one question finds out holds for all, and those who
// asked on them are answered on others.
func TestConnectionsThatLeadNowhereAreGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		server, client := trusted(t)
		if !secure {
			server = nil
		}
		s := begin(t, server)
		table := s.table(t, func(o *RedisOptions) { o.TLS = client })
		a := of("a", "http://u")
		bind(t, table, "id", a, a)
		<-s.came
		s.connect(t, table, 12)
		s.lose()
		table.current().Options().ReadTimeout = 50 * time.Millisecond // of these connections alone
		has(t, table, "id", a)
		for i := range 12 {
			select {
			case <-s.gone:
			case <-time.After(time.Minute):
				t.Fatalf("TLS %v: only %d of the connections were given up", secure, i)
			}
		}
		s.connect(t, table, 12)
		s.lose()
		table.current().Options().ReadTimeout = 50 * time.Millisecond
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() { has(t, table, "id", a) })
		}
		all.Wait()
		if !table.Up() || table.Failures() != 0 {
			t.Errorf("TLS %v: %d failures", secure, table.Failures())
		}
	}
}

// TestConnectionsAreKeptWhereThereIsNoNewOne holds for a password that is gone, and
// where nobody listens any more: what is open may well be answered.
func TestConnectionsAreKeptWhereThereIsNoNewOne(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{url: "redis://" + l.Addr().String()}
	table := s.table(t, func(o *RedisOptions) { o.PasswordFile = filepath.Join(t.TempDir(), "gone") })
	for range 2 {
		before := table.current()
		if err := table.Ping(t.Context()); err == nil || table.current() != before {
			t.Errorf("%v", err)
		}
		l.Close()
	}
}

func TestFileOfAPasswordIsReadAsItIsChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"canary": "canary", "canary\n": "canary", "canary\r\n": "canary", "\ufeffcanary\r\n": "canary", " \tcanary \n\n": "canary", "can ary": "can ary",
		"": "", "\ufeff\n": "", strings.Repeat("c", mostPassword): strings.Repeat("c", mostPassword), strings.Repeat("c", mostPassword+1): "",
	} {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := passwordOf(file)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "can") {
			t.Errorf("%.20q is %.20q, %v", text, got, err)
		}
	}
	if got, err := passwordOf(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a folder is %q, %v", got, err)
	}
}

// oddRedis says one thing to whatever it is asked, and is too old for how clients begin.
// It returns its URL.
func oddRedis(t *testing.T, says string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				for b := make([]byte, 4096); ; {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					answer := says
					switch asked := strings.ToLower(string(b[:n])); {
					case strings.Contains(asked, "hello"):
						answer = "-ERR unknown command\r\n"
					case !strings.Contains(asked, "eval") && !strings.Contains(asked, "ping"):
						answer = strings.Repeat("+OK\r\n", strings.Count("\r\n"+asked, "\r\n*"))
					}
					_, _ = io.WriteString(c, answer)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return "redis://" + l.Addr().String()
}

// odd is a Table whose Redis says one thing.
func odd(t *testing.T, says string) *Redis {
	t.Helper()
	r, err := NewRedis(RedisOptions{URL: oddRedis(t, says), wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestNodeThatSendsItsClientsElsewhereIsNotUsed holds that it is said what is wrong.
func TestNodeThatSendsItsClientsElsewhereIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"MOVED", "ASK"} {
		if err := odd(t, "-"+word+" 5 canary:6379\r\n").Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "nodes of a cluster") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// TestAnswerOfAnotherShapeIsNobodysSession holds that what is missing in it is not
// taken for a session that nobody has.
func TestAnswerOfAnotherShapeIsNobodysSession(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"*0\r\n", "*1\r\n$-1\r\n", "*3\r\n$-1\r\n$-1\r\n$-1\r\n", "+OK\r\n", ":1\r\n"} {
		if got, err := odd(t, says).Find(t.Context(), key("one"), key("two")); !errors.Is(err, errForeign) {
			t.Errorf("%q is %v, %v", says, got, err)
		}
	}
}

// TestCloseEndsConnectionsThatAreMade holds for a Redis that says nothing: who asks
// is not kept until the wait is over.
func TestCloseEndsConnectionsThatAreMade(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := NewRedis(RedisOptions{URL: "rediss://" + l.Addr().String(), wait: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() { asked <- r.Ping(t.Context()) }()
	c, err := l.Accept() // the handshake has begun
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-asked; err == nil {
		t.Error("it was answered")
	}
}

func TestLogOfTheLibraryIsOursAtLevelDebug(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]string{slog.LevelInfo: "", slog.LevelDebug: "level=DEBUG msg=\"pool of 5\" library=go-redis\n"} {
		var log bytes.Buffer
		libraryLog{slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))}.Printf(t.Context(), "pool of %d", 5)
		if got := log.String(); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", level, got)
		}
	}
}
