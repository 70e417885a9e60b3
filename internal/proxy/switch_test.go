package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// relay is an upstream of a protocol of its own: behind 101 it sends back
// every line in capitals, and after the client's end it says how many there
// were.
func relay(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "upgrade")
	w.Header().Set("Upgrade", "Lines/2.0")
	w.WriteHeader(http.StatusSwitchingProtocols)
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	n := 0
	for {
		line, err := buffered.ReadString('\n')
		if err == io.EOF {
			fmt.Fprintf(c, "%d lines\n", n)
			return
		}
		if err != nil {
			return
		}
		n++
		io.WriteString(c, strings.ToUpper(line))
	}
}

func TestUpgradeToAnyProtocolWithHalfClose(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		w, url := socketWorld(t, way, http.HandlerFunc(relay))
		c, target := w.openFor(t, url)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: lines/2.0\r\n\r\nearly\n", target, hostOf(url))
		answers := bufio.NewReader(c)
		if head := readHeadFrom(t, answers); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: Lines/2.0") {
			t.Fatalf("answer %s", head)
		}
		for _, line := range []string{"early\n", "one\n", "two\n"} {
			if line != "early\n" {
				io.WriteString(c, line)
			}
			if got, err := answers.ReadString('\n'); err != nil || got != strings.ToUpper(line) {
				t.Fatalf("echo %q, %v", got, err)
			}
		}
		// The reply to a half-close comes through, then the server's end.
		fatal(t, closeWrite(c))
		if got, err := io.ReadAll(answers); err != nil || string(got) != "3 lines\n" {
			t.Errorf("behind the end: %q, %v", got, err)
		}
	})
}

func TestUpgradedUpstreamLearnsThatTheClientLeft(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		ended := make(chan struct{}, 1)
		w, url := socketWorld(t, way, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			relay(w, r) // returns at the client's end
			ended <- struct{}{}
		}))
		c, target := w.openFor(t, url)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: lines/2.0\r\n\r\n", target, hostOf(url))
		readHeadFrom(t, bufio.NewReader(c))
		c.Close()
		expect(t, "ends that the upstream saw", ended, 1)
	})
}
