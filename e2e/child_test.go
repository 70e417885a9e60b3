package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// clientVariable names the client that this test binary is to be in place of
// running tests. Go programs read their proxy and roots from the environment
// once, so they need a process of their own.
const clientVariable = "INJECTPROXY_E2E_CLIENT"

// goClients are those clients. Each gets the host to talk to and ends with an
// error if it was not served as it has to be.
var goClients = map[string]func(ctx context.Context, host string) error{
	"grpc":      grpcClient,
	"session":   goSession,
	"websocket": websocketClient,
}

// runClient is main for a client, and returns the exit status.
func runClient(name string, args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	defer cancel()
	if err := goClients[name](ctx, args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// goClient runs the named client behind p to its end, which must be a good one.
func goClient(t *testing.T, p *serving, name, host string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := client{env: []string{clientVariable + "=" + name, "HTTPS_PROXY=" + p.url(), "SSL_CERT_FILE=" + p.bundle()}}
	c.run(t, self, host)
}

// receive returns the next value of ch, or an error if nothing comes.
func receive[T any](ch <-chan T) (v T, err error) {
	select {
	case v, ok := <-ch:
		if !ok {
			return v, fmt.Errorf("ended early")
		}
		return v, nil
	case <-time.After(guardTime):
		return v, fmt.Errorf("nothing came in %v", guardTime)
	}
}
