package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filer is a socket of package net.
type filer interface {
	File() (*os.File, error)
	Close() error
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOnlyAListeningTCPSocketIsServed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		open func(t *testing.T) filer
		want string // in the error; "" for none
	}{
		{"TCP", func(t *testing.T) filer {
			return must(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
		}, ""},
		{"UDP", func(t *testing.T) filer {
			return must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
		}, "ListenStream="},
		{"unix", func(t *testing.T) filer {
			return must(net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}))(t)
		}, "not of TCP"},
		{"connection", func(t *testing.T) filer {
			l := must(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
			t.Cleanup(func() { l.Close() })
			return must(net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)))(t)
		}, "Accept=no"},
		{"no socket", func(t *testing.T) filer {
			return plainFile{must(os.Open(os.DevNull))(t)}
		}, "no socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.open(t)
			defer s.Close()
			f := must(s.File())(t)
			defer f.Close()
			l, err := listenerOf(f)
			if err == nil {
				defer l.Close()
			}
			if tt.want == "" {
				if err != nil || l.Addr().String() != s.(net.Listener).Addr().String() {
					t.Errorf("%v, %v", l, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

type plainFile struct{ f *os.File }

func (p plainFile) File() (*os.File, error) { return p.f, nil }
func (p plainFile) Close() error            { return p.f.Close() }
