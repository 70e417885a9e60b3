package exchange

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// credential is what proves to Entra who asks.
type credential interface {
	current() confidential.Credential
	close()
}

// newCredential returns the credential that c names, for the authority at host.
func newCredential(c Credential, host string, log *slog.Logger) (credential, error) {
	named := 0
	for _, s := range []string{c.Certificate, c.SecretFile, c.Federated} {
		if s != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return nil, errors.New("one of certificate, secret_file and federated is needed")
	case c.Certificate != "":
		return newFile(c.Certificate, "certificate", fromPEM, log)
	case c.SecretFile != "":
		return newFile(c.SecretFile, "secret_file", fromSecret, log)
	case c.Federated == ManagedIdentity:
		return newMachine(c.Identity, host)
	case c.Federated == WorkloadIdentity:
		return newWorkload()
	}
	return nil, fmt.Errorf("federated = %q is neither %s nor %s", c.Federated, ManagedIdentity, WorkloadIdentity)
}

// fromPEM reads a certificate and its key.
func fromPEM(text []byte) (confidential.Credential, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return confidential.Credential{}, errors.New("its private key is encrypted: openssl pkcs8 -topk8 -nocrypt takes the password away")
		}
	}
	// What the parsers say of a PEM file has nothing of a key in it, and is not
	// repeated all the same.
	chain, key, err := confidential.CertFromPEM(text, "")
	if err != nil {
		return confidential.Credential{}, errors.New("it needs one private key, as PKCS#8 or PKCS#1, and the certificate, both as PEM")
	}
	c, err := confidential.NewCredFromCert(chain, key)
	if err != nil {
		return confidential.Credential{}, errors.New("its private key has to be RSA, and that of one of its certificates")
	}
	return c, nil
}

// fromSecret reads a client secret, with or without the end of a line.
func fromSecret(text []byte) (confidential.Credential, error) {
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return confidential.Credential{}, errors.New("it is empty")
	}
	if strings.ContainsAny(secret, "\r\n\x00") {
		return confidential.Credential{}, errors.New("it has more than one line")
	}
	return confidential.NewCredFromSecret(secret)
}

const (
	maxFile = 1 << 20 // bytes of a file with a credential

	// racy is how young a file may be for its times to be no proof that it did not
	// change: file systems count in ticks, some in whole seconds.
	racy = 2 * time.Second
)

// file is a credential in a file. It is looked at when it is needed, and read when
// it has changed, also behind a symbolic link. As long as what is there cannot be
// used, what was there before is.
type file struct {
	path, setting string
	parse         func([]byte) (confidential.Credential, error)
	log           *slog.Logger

	mu        sync.Mutex
	info      fs.FileInfo // of what was read last
	proof     confidential.Credential
	complaint string // that the log has
}

func newFile(path, setting string, parse func([]byte) (confidential.Credential, error), log *slog.Logger) (*file, error) {
	f := &file{path: path, setting: setting, parse: parse, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) close() {}

func (f *file) current() confidential.Credential {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed() {
		switch err := f.read(); {
		case err == nil:
			f.complaint = ""
		case err.Error() != f.complaint:
			f.complaint = err.Error()
			f.log.Warn("the credential of on_behalf_of cannot be read again; the one from before is used", "problem", f.complaint)
		}
	}
	return f.proof
}

func (f *file) changed() bool {
	info, err := os.Stat(f.path)
	return err != nil || !os.SameFile(info, f.info) || info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime()) ||
		time.Since(info.ModTime()) < racy
}

// read reads the file if there is one that can be used.
func (f *file) read() error {
	info, text, err := readFile(f.path)
	if err != nil {
		return fmt.Errorf("%s = %q: %w", f.setting, f.path, err)
	}
	proof, err := f.parse(text)
	if err != nil {
		return fmt.Errorf("%s = %q: %w", f.setting, f.path, err)
	}
	f.proof, f.info = proof, info
	return nil
}

// readFile reads a regular file of a bounded size. Its errors say nothing of what
// is in it.
func readFile(path string) (fs.FileInfo, []byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("it cannot be read: %w", plain(err))
	}
	if !info.Mode().IsRegular() { // a FIFO would block
		return nil, nil, errors.New("it is not a regular file")
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("it cannot be read: %w", plain(err))
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("it cannot be read: %w", plain(err))
	}
	if len(text) > maxFile {
		return nil, nil, errors.New("it is too large")
	}
	return info, bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// plain returns what the system says, without the path.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
