package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// The read by which net/http looks for a client's end waits a little, and is
// interrupted like any other, whether its deadline passes before it or after.
func TestLookForTheClientsEndIsPutOff(t *testing.T) {
	past := time.Unix(1, 0)
	for name, tt := range map[string]struct {
		before, after []time.Time
		want          error
		took          time.Duration
	}{
		"nothing happens":             {nil, nil, nil, calm},
		"interrupted":                 {nil, []time.Time{past}, os.ErrDeadlineExceeded, calm / 2},
		"interrupted before":          {[]time.Time{past}, nil, os.ErrDeadlineExceeded, 0},
		"interrupted for another":     {[]time.Time{past, {}}, nil, nil, calm},
		"a deadline that is far away": {nil, []time.Time{time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}, nil, calm},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				go theirs.Write([]byte("GET / HTTP/1.1\r\n"))
				c := &http1Conn{Conn: ours}
				for range 3 { // a connection has many requests
					c.SetReadDeadline(time.Time{})
					for _, d := range tt.before {
						c.SetReadDeadline(d)
					}
					began := time.Now()
					interrupted := time.AfterFunc(calm/2, func() {
						for _, d := range tt.after {
							c.SetReadDeadline(d)
						}
					})
					n, err := c.Read(make([]byte, 1))
					if took := time.Since(began); !errors.Is(err, tt.want) || took != tt.took || (n == 1) != (tt.want == nil) {
						t.Errorf("read %d, %v after %s, want %v after %s", n, err, took, tt.want, tt.took)
					}
					interrupted.Stop()
				}
			})
		})
	}
}

// Other reads do not wait.
func TestRequestsAreReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go theirs.Write([]byte("GET / HTTP/1.1\r\n"))
		began := time.Now()
		b := make([]byte, 16)
		if _, err := io.ReadAtLeast(&http1Conn{Conn: ours}, b, len(b)); err != nil || time.Since(began) > 0 {
			t.Errorf("%q, %v after %s", b, err, time.Since(began))
		}
	})
}
