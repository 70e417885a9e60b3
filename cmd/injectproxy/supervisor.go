package main

import (
	"log/slog"
	"net"
	"time"

	"github.com/injectproxy/injectproxy/internal/systemd"
)

// supervisor is the service manager that started serve, if one did.
type supervisor struct {
	socket   net.Listener // nil: serve opens its own
	notifier systemd.Notifier
	log      *slog.Logger
}

// startedBy returns the supervisor. Its socket takes the place of the address
// in listen, by override: what is refused on an address that others can reach is
// refused on such a socket too. Hint says whom a difference concerns.
func startedBy(listen *string, override func(string) error, hint string, log *slog.Logger) (*supervisor, error) {
	s := &supervisor{notifier: systemd.NewNotifier(), log: log}
	socket, err := systemd.Listener()
	if err != nil {
		return nil, &failure{status: exitUsage, err: err}
	}
	if socket == nil {
		return s, nil
	}
	configured, address := *listen, socket.Addr().String()
	if err := override(address); err != nil {
		socket.Close()
		return nil, usageError("the socket that systemd handed over: %v", err)
	}
	if configured != address {
		log.Warn("the socket that systemd handed over takes the place of listen", "listen", configured, "socket", address, "hint", hint)
	}
	s.socket = socket
	return s, nil
}

// listen returns the supervisor's socket, else one of our own at address.
func (s *supervisor) listen(address string) (net.Listener, error) {
	if s.socket != nil {
		return s.socket, nil
	}
	return net.Listen("tcp", address)
}

// reloading tells that the configuration is read again; ready follows.
func (s *supervisor) reloading() { s.tell(s.notifier.Reloading()) }

// ready tells that connections to address are served.
func (s *supervisor) ready(address net.Addr) {
	s.tell(s.notifier.Ready("listening on " + address.String()))
}

// stopping tells that serve ends once what is open has ended, after limit at
// the latest.
func (s *supervisor) stopping(limit time.Duration) { s.tell(s.notifier.Stopping(limit)) }

// tell logs that the supervisor could not be told, which stops nothing here:
// the supervisor will do what it does to a service that says nothing.
func (s *supervisor) tell(err error) {
	if err != nil {
		s.log.Warn("the service manager does not listen", "error", err)
	}
}
