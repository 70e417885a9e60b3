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

// openPage opens the status page of the serve at address in a browser. One of
// this user is let in where this process was, without the credential; otherwise
// it brings a ticket, and where none can be opened that is printed.
func openPage(ctx context.Context, out, errOut io.Writer, address string) error {
	entrance, free, err := askTicket(ctx, address)
	if err != nil {
		return err
	}
	page, came := "http://"+address+"/", false
	switch {
	case !hasScreen():
	case free:
		came = browser.OpenURL(page) == nil
	default:
		var tried bool
		if tried, came, err = lead(ctx, address, entrance); err != nil {
			return err
		}
		if tried && !came { // its ticket is void by now
			fmt.Fprintln(errOut, "no browser has come to the page")
			if entrance, _, err = askTicket(ctx, address); err != nil {
				return err
			}
		}
	}
	if came {
		fmt.Fprintf(errOut, "%s is opened in the browser\n", page)
		return nil
	}
	fmt.Fprintln(out, "http://"+address+entrance)
	fmt.Fprintln(errOut, "open this URL in a browser on this machine within 30 s; it is good once")
	return nil
}

// askTicket gets a path of the serve at address that lets a browser in. Free
// says that this process was asked for no credential, so that a browser of the
// same user is not either.
func askTicket(ctx context.Context, address string) (entrance string, free bool, err error) {
	a, err := askAdmin(ctx, address, "/open")
	if err != nil {
		return "", false, err
	}
	var ticket struct{ Path string }
	if err := json.Unmarshal(a.body, &ticket); err != nil || !strings.HasPrefix(ticket.Path, "/enter?") {
		return "", false, otherVersion(address)
	}
	return ticket.Path, a.free, nil
}

func otherVersion(address string) error {
	return &failure{status: exitFailed, err: fmt.Errorf("what answers at %s is not an injectproxy of this version", address),
		hint: "name the address that serve logged with --address"}
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
