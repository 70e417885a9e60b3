package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/admin"
	"github.com/injectproxy/injectproxy/internal/config"
)

// askStatus gets the status.
func askStatus(ctx context.Context, address string) ([]byte, error) {
	a, err := askAdmin(ctx, address, "/status.json")
	return a.body, err
}

// askAdmin gets what the admin port has at path, with the credential if it is
// asked for by who can prove to have it.
func askAdmin(ctx context.Context, address, path string) (statusAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	stranger := &failure{status: exitFailed, err: fmt.Errorf("what answers at %s is not your injectproxy", address),
		hint: "it may be another user's: set another address with listen in [admin]"}
	a, err := getAdmin(ctx, address, path, nil)
	if err == nil && a.stranger {
		return a, stranger
	}
	if a.free = a.status != http.StatusUnauthorized; err == nil && !a.free {
		home, failed := config.Home()
		if failed != nil {
			return a, failed
		}
		credential, failed := access.LoadOrCreate(filepath.Join(home, "credential"))
		if failed != nil {
			return a, failed
		}
		if !credential.Proves(a.challenge, a.proof) {
			return a, stranger
		}
		a, err = getAdmin(ctx, address, path, &credential)
	}
	switch {
	case err != nil:
		return a, &failure{status: exitFailed, err: fmt.Errorf("no serve answers at %s", address),
			hint: "start it: injectproxy serve (or name the address that it logged with --address)"}
	case a.status != http.StatusOK:
		return a, &failure{status: exitFailed, err: fmt.Errorf("what answers at %s does not tell its status (HTTP %d)", address, a.status),
			hint: "it may be another user's, or no injectproxy: set another address with listen in [admin]"}
	}
	return a, nil
}

// mostStatus bounds what is read of an answer.
const mostStatus = 16 << 20

// statusAnswer is an answer of the status port, and what is known of who gave
// it.
type statusAnswer struct {
	body             []byte
	status           int
	stranger         bool   // another user's process
	free             bool   // no credential was asked for
	challenge, proof string // that it was given, with its address, and its answer
}

// getAdmin asks directly, whatever proxy the environment names.
func getAdmin(ctx context.Context, address, path string, credential *access.Credential) (a statusAnswer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return a, err
	}
	nonce := rand.Text()
	r.Header.Set(admin.ChallengeField, nonce)
	if credential != nil {
		r.SetBasicAuth("injectproxy", credential.Reveal())
	}
	var conn net.Conn
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return conn, err
	}}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	ours, known := access.Server(conn)
	a.stranger, a.status = known && !ours, res.StatusCode
	a.challenge, a.proof = nonce+"\n"+conn.RemoteAddr().String(), res.Header.Get(admin.ProofField)
	a.body, err = io.ReadAll(io.LimitReader(res.Body, mostStatus))
	return a, err
}
