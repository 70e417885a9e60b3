// Command injectproxy is a local forward HTTPS proxy that attaches access
// tokens to requests under configured prefixes, and leaves everything else
// as it is.
package main

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/pkg/browser"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/collector"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

func main() {
	if err := seal(); err != nil {
		fmt.Fprintln(os.Stderr, "warning:", err)
	}
	collector.Tune()
	log.SetOutput(io.Discard) // until a command has a log: see libraries
	// What opens a browser prints what it likes, and our stdout is data.
	browser.Stdout = os.Stderr
	os.Exit(profiled(func() int { return run(os.Args[1:], os.Stdout, os.Stderr) }))
}

// profiled returns what run returns, unless its profile cannot be had.
func profiled(run func() int) (status int) {
	end, err := profile()
	if err != nil {
		printError(os.Stderr, err, "")
		return exitFailed
	}
	status = run()
	if err := end(); err != nil {
		printError(os.Stderr, err, "")
		return max(status, exitFailed)
	}
	return status
}

// libraries has what libraries say by loggers of their own written to l. The
// Transport of net/http knows none but package log's, and quotes what an upstream
// sent.
func libraries(l *slog.Logger) {
	binding.LibraryLog(l)
	log.SetFlags(0)
	log.SetOutput(telemetry.LibraryLog(l, "net/http").Writer())
}
