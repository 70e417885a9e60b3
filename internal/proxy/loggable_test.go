package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
)

// An error that quotes what an upstream sent would put a body into the log.
func TestErrorsOfReadingQuoteNothingInTheLog(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"textproto.ProtocolError": fmt.Errorf("reading: %w", textproto.ProtocolError("malformed MIME header: canary")),
		"*errors.errorString":     fmt.Errorf("%w", fmt.Errorf("bad %w", errors.New("Content-Length \"canary\""))),
		"connection reset":        &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET},
		"unexpected EOF":          io.ErrUnexpectedEOF,
		"context canceled":        fmt.Errorf("x: %w", context.Canceled),
	} {
		if got := loggable(err); !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%v is logged as %q, want %q", err, got, want)
		}
	}
}
