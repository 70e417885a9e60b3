package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// loadVariable names the file with certificate and key of the server that this
// test binary is to be in place of running tests: thousands of connections take
// more descriptors than one process has.
const loadVariable = "INJECTPROXY_E2E_LOAD"

// loadServer serves streams of events over TLS, and echoes bytes without, until
// its standard input ends. It prints the two addresses.
func loadServer(pair string) int {
	cert, err := tls.LoadX509KeyPair(pair, pair)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &http.Server{Handler: newStreams(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: quiet}
	go s.ServeTLS(secure, "", "")
	go echoLines(plain)
	fmt.Println(secure.Addr(), plain.Addr())
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// echoLines sends back the first line of each connection, and ends it when its
// client does.
func echoLines(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			line, _ := bufio.NewReader(c).ReadString('\n')
			io.WriteString(c, line)
			io.Copy(io.Discard, c)
		}()
	}
}

// streams are event streams that are told together what to say.
type streams struct {
	mu    sync.Mutex
	open  int
	count int
	next  chan struct{} // closed when there is something to say
	end   bool          // and it is that every other one ends
}

func newStreams() http.Handler {
	s := &streams{next: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/v1/digest", digest)
	mux.HandleFunc("/v1/events", s.stream)
	mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprint(w, s.open)
	})
	mux.HandleFunc("/tick", func(http.ResponseWriter, *http.Request) { s.say(false) })
	mux.HandleFunc("/end", func(http.ResponseWriter, *http.Request) { s.say(true) })
	return mux
}

func (s *streams) say(end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.next)
	s.next, s.end = make(chan struct{}), end
}

// enter returns the number of a stream that begins.
func (s *streams) enter() (n int, next chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.count++
	return s.count, s.next
}

func (s *streams) stream(w http.ResponseWriter, r *http.Request) {
	n, next := s.enter()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	for event := "begun"; ; event = "tick" {
		fmt.Fprintf(w, "data: %s\n\n", event)
		http.NewResponseController(w).Flush()
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
		s.mu.Lock()
		next = s.next
		end := s.end
		s.mu.Unlock()
		if end && n%2 == 0 {
			fmt.Fprint(w, "data: end\n\n")
			return
		}
	}
}

// load is a serve under load, its vitals, and the server beyond it: three
// processes.
type load struct {
	*soak
	url, echo string
	direct    *http.Client // to the server itself
}

// newLoad starts them. The program is built without the race detector, which
// would be what is measured.
func newLoad(t *testing.T, drain string) *load {
	t.Helper()
	w := newWorld(t)
	cert, caFile := newCertificate(t, "localhost")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pair := filepath.Join(t.TempDir(), "pair.pem")
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	writeFile(t, pair, text.String())
	secure, plain := startLoadServer(t, pair)
	l := &load{soak: &soak{t: t, w: w}, url: "https://localhost:" + secure, echo: "localhost:" + plain}
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, "a-token-for-the-load")
	l.p = w.serve(options{
		admin: "127.0.0.1:0", level: "info", keep: 1 << 20, trust: []string{caFile}, plain: true, direct: true, drain: drain,
		env:   []string{"GOGC=10"},
		rules: fmt.Sprintf("\n[audience.a]\ntoken_file = %q\n[[rule]]\nprefix = %q\naudience = \"a\"\n", token, l.url+"/v1/"),
	})
	if l.status, err = receive(l.p.log.status); err != nil {
		t.Fatal(err)
	}
	l.scraper = &http.Client{Transport: &http.Transport{}, Timeout: guardTime}
	t.Cleanup(l.scraper.CloseIdleConnections)
	l.roots = x509.NewCertPool()
	for _, file := range []string{caFile, l.p.root()} {
		pem, err := os.ReadFile(file)
		if err != nil || !l.roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	l.direct = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.roots}}, Timeout: guardTime}
	t.Cleanup(l.direct.CloseIdleConnections)
	return l
}

// startLoadServer returns the ports of a server of its own process.
func startLoadServer(t *testing.T, pair string) (secure, plain string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), self)
	cmd.Env = append(environment(), loadVariable+"="+pair)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.Fields(line)
	_, secure, _ = net.SplitHostPort(addresses[0])
	_, plain, _ = net.SplitHostPort(addresses[1])
	return secure, plain
}

// server asks the server itself for something.
func (l *load) server(path string) int {
	l.t.Helper()
	res, err := l.direct.Get(l.url + path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	n, _ := strconv.Atoi(string(text))
	return n
}

// rested returns the vitals once nobody uses the proxy and they are within
// bound, as settled does, but leaves the server alone.
func (l *load) rested(bound vitals) (v vitals, err error) {
	l.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.After(2 * guardTime); ; {
		if v = l.vitals(); v.busy == 0 {
			if err = v.exceeds(bound); err == nil {
				return v, nil
			}
		}
		select {
		case <-again.C:
		case <-late:
			return v, fmt.Errorf("%+v: %w", v, err)
		}
	}
}
