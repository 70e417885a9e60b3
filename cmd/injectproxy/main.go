// Command injectproxy is a local forward HTTPS proxy that attaches access
// tokens to requests under configured prefixes, and leaves everything else
// as it is.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
