//go:build !darwin && !windows

package signin

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
)

// desktop returns what shows a notification through the session's bus, nil
// without one. The bus is only looked up: none is launched for the purpose.
func desktop(getenv func(string) string) func(ctx context.Context, title, message string) error {
	address := sessionBus(getenv)
	if address == "" {
		return nil
	}
	return func(ctx context.Context, title, message string) error {
		// A connection of its own: the library's shared one would never be closed.
		bus, err := dbus.Connect(address, dbus.WithContext(ctx))
		if err != nil {
			return err
		}
		defer bus.Close()
		return bus.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").CallWithContext(
			ctx, "org.freedesktop.Notifications.Notify", 0,
			"injectproxy", uint32(0), "dialog-password", title, markup.Replace(message),
			[]string{}, map[string]dbus.Variant{}, int32(-1)).Err
	}
}

// markup keeps what a body says from being read as the markup that it may have.
var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// sessionBus returns the address of the session's bus: the one that the session
// names, else, where there is a display, the one at its usual place.
func sessionBus(getenv func(string) string) string {
	if address := getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return address
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" || getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return ""
	}
	socket := filepath.Join(dir, "bus")
	if _, err := os.Stat(socket); err != nil {
		return ""
	}
	return "unix:path=" + dbus.EscapeBusAddressValue(socket)
}
