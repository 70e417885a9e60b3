// Command injectproxy is a local forward HTTPS proxy that attaches access
// tokens to requests under configured prefixes, and leaves everything else
// as it is.
package main

import (
	"os"

	"github.com/pkg/browser"
)

func main() {
	// What opens a browser prints what it likes, and our stdout is data.
	browser.Stdout = os.Stderr
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
