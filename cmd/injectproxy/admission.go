package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/config"
)

// admission returns who may use the port: those whom the configuration's mode
// admits, and the named clients.
func admission(cfg *config.Config, home string, log *slog.Logger) (*access.Policy, error) {
	if cfg.Access.Mode == "open" && cfg.Shared() {
		return nil, &failure{status: exitUsage, err: fmt.Errorf("listen = %q lets everybody in the network use the tokens behind this proxy", cfg.Listen),
			hint: `set mode = "credential" in [access], or listen on 127.0.0.1`}
	}
	credential, err := access.LoadOrCreate(filepath.Join(home, "credential"))
	if err != nil {
		return nil, err
	}
	mode := cfg.Access.Mode
	if mode == "auto" && cfg.Shared() {
		// What forwards to a shared port, as Docker does, may run as our user
		// and connect from loopback, on behalf of anybody.
		mode = "credential"
	}
	policy, err := access.New(mode, credential)
	if err != nil {
		return nil, err
	}
	var clients []access.Client
	for _, c := range cfg.Access.Clients {
		client := access.Client{Name: c.Name, File: c.TokenFile}
		if err := client.Check(); err != nil {
			log.Warn("a client is not admitted as its token is", "client", c.Name, "error", err,
				"hint", "write 32 or more of A-Z a-z 0-9 - _ to the file, mode 0600 or 0640; it is read again for each connection")
		}
		clients = append(clients, client)
	}
	return policy.WithClients(clients), nil
}
