package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/config"
)

// secrets are the canaries of the busy scenario, by what they are. Tokens of
// the identity service join them as they are seen.
func secretsOf(format string) map[string]string {
	return map[string]string{
		"token of a file":        "cnry+file/" + format + "~a1b2c3",
		"token of a variable":    "cnry+variable/" + format + "~d4e5f6",
		"token of a command":     "cnry+command/" + format + "~a7b8c9",
		"broken token":           "cnry+broken/" + format + "~d0e1f2",
		"argument of a command":  "cnry+argument/" + format + "~a3b4c5",
		"output of a command":    "cnry+output/" + format + "~d6e7f8",
		"client secret":          "cnry+clientsecret/" + format + "~a9b0c1",
		"header of a file":       "cnry+headerfile/" + format + "~d2e3f4",
		"header of a variable":   "cnry+headerenv/" + format + "~a5b6c7",
		"literal header":         "cnry+literal/" + format + "~d8e9f0",
		"upstream proxy":         "cnry+proxy/" + format + "~a1c2e3",
		"credential":             "cnry-credential-" + format + "-b4d5f6a7c8e9b0d1f2",
		"wrong credential":       "cnry-wrong-credential-" + format + "-a3c4e5",
		"client's authorization": "cnry+own/" + format + "~b6d7f8",
		"query":                  "cnry+query/" + format + "~a9c0e1",
		"request body":           "cnry+body/" + format + "~b2d3f4",
		"cookie":                 "cnry+cookie/" + format + "~a5c6e7",
	}
}

// evidence is all text that the program let out, by where.
type evidence struct {
	mu   sync.Mutex
	text map[string]string
}

func (e *evidence) add(where, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text[where] += text + "\n"
}

// reply adds an answer if it is the proxy's own.
func (e *evidence) reply(r reply) {
	if r.header.Get("Proxy-Status") != "" {
		e.add("own answers", fmt.Sprintf("%d %v\n%s", r.status, r.header, r.body))
	}
}

func TestNoSecretIsEverShown(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			secrets, shown := secretsOf(format), &evidence{text: map[string]string{}}
			b := busyScenario(t, format, secrets, shown)
			shown.add("log", b.log.String())
			for where, text := range shown.text {
				if found := leaks(text, secrets); found != nil {
					t.Errorf("%s shows %q:\n%s", where, found, excerpt(text, secrets[found[0]]))
				}
				planted, names := text, []string(nil)
				for name, secret := range secrets {
					planted += " " + shapes(secret)[len(names)%3]
					names = append(names, name)
				}
				if found := leaks(planted, secrets); len(found) != len(names) {
					t.Errorf("of %q, planted in %s, only %q are found", names, where, found)
				}
			}
			for _, where := range []string{"log", "own answers", "check", "explain", "goroutines", "errors of clients"} {
				if len(shown.text[where]) < 50 {
					t.Errorf("nothing to search: %s is %q", where, shown.text[where])
				}
			}
		})
	}
}

// excerpt returns the text around the first form of a secret.
func excerpt(text, secret string) string {
	for _, s := range shapes(secret) {
		if i := strings.Index(text, s); i >= 0 {
			return text[max(0, i-300):min(len(text), i+len(s)+100)]
		}
	}
	return ""
}

// busyScenario has everything happen that may go right or wrong with secrets
// about.
func busyScenario(t *testing.T, format string, secrets map[string]string, shown *evidence) *testbed {
	t.Helper()
	asTestClient(t)
	a := startIdentity(t, secrets["client secret"])
	t.Setenv("AZURE_CLIENT_SECRET", secrets["client secret"])
	t.Setenv("INJECTPROXY_TEST_TOKEN", secrets["token of a variable"])
	t.Setenv("INJECTPROXY_TEST_BROKEN", secrets["broken token"]+"\r\n\r\n")
	t.Setenv("INJECTPROXY_TEST_HEADER", secrets["header of a variable"])

	inFlight := make(chan struct{})
	goOn := make(chan struct{})
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		switch {
		case strings.HasPrefix(s.target, "/held"):
			close(inFlight)
			<-goOn
		case strings.HasPrefix(s.target, "/refused"):
			challenge(w)
		case strings.HasPrefix(s.target, "/abort"):
			panic(http.ErrAbortHandler)
		}
	}, "api.example.test", "unlisted.example.test")
	gone := newOrigin(t, "h2", nil, "gone.example.test")
	board := newSwitchboard(t, map[string]string{
		"api.example.test:443": o.authority, "unlisted.example.test:443": o.authority,
		"wrongcert.example.test:443": gone.authority, "refused.example.test:443": "127.0.0.1:1",
	})
	b := newTestbed(t, scenarioSettings(a, board, secrets), func(cfg *config.Config, s *surroundings) {
		cfg.Log.Format = format
		name := t.TempDir() + "/credential"
		writeTestFile(t, name, secrets["credential"])
		credential, err := access.LoadOrCreate(name)
		must(t, err)
		s.access, err = access.New("credential", credential)
		must(t, err)
	})
	user := url.UserPassword("injectproxy", secrets["credential"])
	for _, proto := range []string{"h1", "h2"} {
		c := clientOf(t, &url.URL{Scheme: "http", Host: b.addr, User: user}, b.root, proto)
		scenarioRequests(t, c, a, secrets, shown)
	}
	scenarioStrangers(t, b, secrets, shown)

	c := clientOf(t, &url.URL{Scheme: "http", Host: b.addr, User: user}, b.root, "h2")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if r, err := scenarioRequest(t, c, "POST", "/held", secrets); err != nil || r.status != http.StatusOK {
			t.Errorf("%d, %v", r.status, err)
		}
	}()
	select {
	case <-inFlight:
	case <-answered:
		t.Fatal("the request in flight has ended")
	}
	shown.add("goroutines", goroutines(t))
	close(goOn)
	<-answered

	board.mu.Lock()
	board.refuse = http.StatusProxyAuthRequired
	board.mu.Unlock()
	for _, target := range []string{"https://late.example.test/x", "https://tunnel.example.test/x", "http://plain.example.test/x?k=" + url.QueryEscape(secrets["query"])} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
		must(t, err)
		r, err := trySend(c, req)
		shown.reply(r)
		if err != nil {
			shown.add("errors of clients", errors.Unwrap(err).Error()) // without the URL, which is the client's own
		}
	}
	for i, s := range o.taken() {
		if strings.HasPrefix(s.bearer(), "ey") {
			secrets[fmt.Sprint("token of the identity service ", i)] = s.bearer()
		}
	}
	if got := strings.Join(board.shown, " "); !strings.Contains(got, basic("proxyuser", secrets["upstream proxy"])) {
		t.Error("the upstream proxy was not shown its password, so nothing was tried")
	}
	scenarioCommands(t, b, secrets, shown)
	return b
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// goroutines returns all stacks, with what they are called with.
func goroutines(t testing.TB) string {
	var dump bytes.Buffer
	must(t, pprof.Lookup("goroutine").WriteTo(&dump, 2))
	must(t, pprof.Lookup("goroutine").WriteTo(&dump, 1))
	return dump.String()
}
