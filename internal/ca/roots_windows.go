package ca

import (
	"bytes"
	"encoding/pem"
	"errors"
	"unsafe"

	"golang.org/x/sys/windows"
)

// systemRoots returns the roots that the user's and the machine's store trust.
func systemRoots() ([]byte, error) {
	name, err := windows.UTF16PtrFromString("ROOT")
	if err != nil {
		return nil, err
	}
	store, err := windows.CertOpenSystemStore(0, name)
	if err != nil {
		return nil, err
	}
	defer windows.CertCloseStore(store, 0)
	var out bytes.Buffer
	var cert *windows.CertContext
	for {
		// Each call frees the context that the one before returned.
		cert, err = windows.CertEnumCertificatesInStore(store, cert)
		if errors.Is(err, windows.Errno(windows.CRYPT_E_NOT_FOUND)) || err == nil && cert == nil {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		der := unsafe.Slice(cert.EncodedCert, cert.Length)
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, err
		}
	}
}
