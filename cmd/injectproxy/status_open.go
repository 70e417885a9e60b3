package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/pkg/browser"
)

// openPage opens the status page of the serve at address. The system may not
// tell whose the browser's connection is, so the browser brings a ticket; where
// none can be opened it is printed.
func openPage(ctx context.Context, out, errOut io.Writer, address string) error {
	raw, err := askAdmin(ctx, address, "/open")
	if err != nil {
		return err
	}
	var ticket struct{ Path string }
	if err := json.Unmarshal(raw, &ticket); err != nil || !strings.HasPrefix(ticket.Path, "/enter?") {
		return &failure{status: exitFailed, err: fmt.Errorf("what answers at %s is not an injectproxy of this version", address),
			hint: "name the address that serve logged with --address"}
	}
	page := "http://" + address + ticket.Path
	if hasScreen() && browser.OpenURL(page) == nil {
		fmt.Fprintf(errOut, "http://%s/ is opened in the browser\n", address)
		return nil
	}
	fmt.Fprintln(out, page)
	fmt.Fprintln(errOut, "open this URL in a browser on this machine within 30 s; it is good once")
	return nil
}

// hasScreen reports whether there is a screen for a browser. Without one, what
// opens URLs may take a browser of text that takes the terminal.
func hasScreen() bool {
	switch runtime.GOOS {
	case "windows", "darwin":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}
