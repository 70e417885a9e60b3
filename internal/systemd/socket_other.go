//go:build !linux

package systemd

import "net"

// Listener returns nil: there is no systemd on this system.
func Listener() (net.Listener, error) { return nil, nil }
