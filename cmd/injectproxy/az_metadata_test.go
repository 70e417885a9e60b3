//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// Whatever a machine has at the metadata service's address, az has its turn.
func TestAzIsComeToWhateverAnswersForTheMetadataService(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for name, answer := range map[string]http.HandlerFunc{
		"404":     http.NotFound,
		"403":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>welcome</html>") },
		"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"nobody":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial := dialNoMetadata
			if answer != nil {
				metadata := httptest.NewServer(answer)
				t.Cleanup(metadata.Close)
				dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if addr == metadataAddr {
						addr = metadata.Listener.Addr().String()
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}
			}
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			tables := "[token]\ntimeout = \"30s\"\n" + strings.Replace(azAudience, "sources = [\"az\"]\n", "", 1) + rule(o.url("/"))
			b := newTestbed(t, settings{entra: a, tables: tables}, func(_ *config.Config, s *surroundings) { s.dialIdentity = dial })
			az := b.az(a)
			call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
			az.wantRuns(t, 1, "account")
			b.log.wait(t, `msg="first token"`, "source=az")
		})
	}
}
