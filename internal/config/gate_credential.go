package config

import (
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"os"
	"runtime"
	"strings"
	"time"
)

// secret reads a file that nobody else is to see, "" if there is a problem with
// it. No message shows what it holds.
func (t *table) secret(key string) (file, text string) {
	if file = t.file(key); file == "" || strings.ContainsRune(file, 0) || t.elsewhere {
		return file, ""
	}
	data, _, err := read(file)
	text = strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
	switch at := t.at(key); {
	case err != nil:
		t.errorf(at, "%s %v", t.name(key), err)
		return file, ""
	case text == "":
		t.errorf(at, "%s: there is nothing in the file", t.name(key))
	}
	t.readable(key, file)
	return file, text
}

// readable warns of a secret that every user of the machine can read.
func (t *table) readable(key, file string) {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o004 == 0 {
		return // Windows has access control lists, which are not examined here
	}
	t.warnf(t.at(key), "%s can be read by everybody on this machine (mode %04o)", t.name(key), info.Mode().Perm()).
		hint("chmod o-r; in Kubernetes defaultMode: 0440 of the volume, and fsGroup of the pod")
}

// word is secret, of a file that holds one word.
func (t *table) word(key string) (file, word string) {
	file, word = t.secret(key)
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.errorf(t.at(key), "%s: the file has more than one line", t.name(key)).hint("the secret alone")
	}
	return file, word
}

// clientSecret reads the name of the file with the secret of the application. The
// portal shows an id beside it, which looks like one.
func (t *table) clientSecret(key string) string {
	file, word := t.word(key)
	if isGUID(word) {
		t.errorf(t.at(key), "%s: the file holds the secret's ID, which is a GUID, and not the secret", key).hint("its value, which the portal shows once: az ad app credential reset --append prints another")
	}
	return file
}

// keyedCertificate reads the name of a PEM file that holds a certificate and its
// private key, and when the certificate ends.
func (t *table) keyedCertificate(key string) (file string, ends time.Time) {
	file, text := t.secret(key)
	if text == "" {
		return file, ends
	}
	both, err := keyPair([]byte(text))
	if err != nil {
		t.errorf(t.at(key), "certificate %v", err).hint("one PEM file with both: openssl pkcs12 -in obo.pfx -out obo.pem -nodes")
		return file, ends
	}
	t.lifetime(key, both.Leaf, time.Now())
	return file, both.Leaf.NotAfter
}

// keyPair returns the certificate and the key of a file, if Entra takes them. The
// error shows nothing of it.
func keyPair(data []byte) (*tls.Certificate, error) {
	certificate, key := false, false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			certificate = true
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("holds a private key that is encrypted: the gate has no password for it")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = true
		}
	}
	switch {
	case !certificate && !key:
		return nil, errors.New("holds no PEM certificate and no key")
	case !certificate:
		return nil, errors.New("holds no certificate, only a key")
	case !key:
		return nil, errors.New("holds no private key, only a certificate")
	}
	both, err := tls.X509KeyPair(data, data)
	switch {
	case err != nil && strings.Contains(err.Error(), "does not match"):
		return nil, errors.New("holds a private key that is not that of its first certificate")
	case err != nil:
		return nil, errors.New("holds a certificate or a private key that cannot be read")
	}
	if _, ok := both.PrivateKey.(*rsa.PrivateKey); !ok {
		return nil, errors.New("holds a key that is not RSA, which is all that Entra takes")
	}
	return &both, nil
}
