//go:build unix

package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What is listed has an end, what is counted has none.
func TestStatusCountsTheSessionsThatItDoesNotList(t *testing.T) {
	t.Parallel()
	sessions := newDemoSessions()
	servers := newLive(t, "h2", func(rw http.ResponseWriter, r *http.Request) { sessions.serve(rw, r, "somebody") })
	board := newSwitchboard(t, map[string]string{"live.example.test:443": strings.TrimPrefix(servers, "https://")})
	home := t.TempDir()
	settings{
		top:    fmt.Sprintf("upstream_proxy = %q", board.url(nil)),
		tables: "[admin]\nlisten = \"127.0.0.1:" + freePort(t) + "\"\n" + fileAudiences + mcpRule("https://live.example.test/mcp"),
		files:  tokenFiles,
	}.write(t, home)
	d := startDaemon(t, home, nil)
	client := d.client("h2", nil)
	for range mostSessions + 3 {
		_, err := connectAgent(t.Context(), client, "https://live.example.test/mcp")
		must(t, err)
	}
	if s := d.reported(); len(s.Sessions) != mostSessions || s.Traffic.Sessions != mostSessions+3 {
		t.Errorf("%d listed, %d counted", len(s.Sessions), s.Traffic.Sessions)
	}
	if text, _ := runToEnd(t, home, nil, "status"); !strings.Contains(text, "and 3 more\n") {
		t.Errorf("status does not say that there are more: %s", text)
	}
}
