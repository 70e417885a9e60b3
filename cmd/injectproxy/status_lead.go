package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pkg/browser"
)

// enteredEvery is how often lead asks whether the browser has come.
const enteredEvery = 200 * time.Millisecond

var errNobodyCame = errors.New("ended before a browser has come")

// lead opens a browser on a file that leads it to entrance, a path with a
// ticket, and reports whether it came before that was void. Tried is false where
// no browser can be opened. A URL would not do: everybody on this machine can
// read the command line of a browser, and be there first.
func lead(ctx context.Context, address, entrance string) (tried, came bool, err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP) // which leave no file behind either
	defer stop()
	dir, err := os.MkdirTemp("", "injectproxy-") // for this user only
	if err != nil {
		return false, false, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "open.html")
	if err := os.WriteFile(file, leading("http://"+address+entrance), 0o600); err != nil {
		return false, false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- browser.OpenURL(fileURL(file)) }() // which may last as long as the browser: not waited for
	tick := time.NewTicker(enteredEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, false, errNobodyCame
		case err := <-ended:
			if err != nil {
				return false, false, nil
			}
			ended = nil
		case <-tick.C:
			switch fate, err := askFate(ctx, address, entrance); {
			case ctx.Err() != nil: // which is why
				return true, false, errNobodyCame
			case err != nil:
				return true, false, err
			case fate != "waits":
				return true, fate == "used", nil
			}
		}
	}
}

// leading is a page that leads to another by itself.
func leading(to string) []byte {
	to = html.EscapeString(to)
	return fmt.Appendf(nil, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=%s">
<title>injectproxy</title>
<a href="%s">Go on to the status page</a>
</html>
`, to, to)
}

func fileURL(file string) string {
	path := filepath.ToSlash(file)
	if !strings.HasPrefix(path, "/") { // a drive's letter
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// askFate asks what has become of the ticket in entrance.
func askFate(ctx context.Context, address, entrance string) (string, error) {
	a, err := askAdmin(ctx, address, strings.Replace(entrance, "/enter?", "/opened?", 1))
	if err != nil {
		return "", err
	}
	var fate struct{ Ticket string }
	if json.Unmarshal(a.body, &fate) != nil || fate.Ticket == "" {
		return "", otherVersion(address)
	}
	return fate.Ticket, nil
}
