package main

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The processes of a run that are this program are the test's own program here.
func TestMain(m *testing.M) {
	if is, err := subcommand(os.Args[1:]); is {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
