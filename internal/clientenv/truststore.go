package clientenv

import (
	"bytes"
	"crypto/sha1" // #nosec G505 -- the format's: no trust rests on it
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"strconv"
)

// TrustStore returns the certificates of PEM data as a Java trust store. It is
// of the type JKS, the one that every Java reads without a password; with one,
// that is "changeit". The same data gives the same store. Certificates that
// cannot be parsed are left out: Java would refuse the whole store for one.
func TrustStore(data []byte) ([]byte, error) {
	var certs [][]byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certs = append(certs, block.Bytes)
		}
	}
	if len(certs) == 0 {
		return nil, errors.New("a trust store needs a certificate, and there is none")
	}
	var b bytes.Buffer
	number := func(n int) { binary.Write(&b, binary.BigEndian, uint32(n)) }
	text := func(s string) {
		binary.Write(&b, binary.BigEndian, uint16(len(s)))
		b.WriteString(s)
	}
	number(0xfeedfeed)
	number(2) // version
	number(len(certs))
	for i, der := range certs {
		number(2) // a trusted certificate
		text("root-" + strconv.Itoa(i+1))
		binary.Write(&b, binary.BigEndian, uint64(0)) // when it was added
		text("X.509")
		number(len(der))
		b.Write(der)
	}
	sum := sha1.Sum(append([]byte(salted("changeit")), b.Bytes()...)) // #nosec G401 -- the format's
	b.Write(sum[:])
	return b.Bytes(), nil
}

// salted is what a JKS's checksum begins with: the password in UTF-16, and a
// phrase that the format has.
func salted(password string) string {
	var s []byte
	for _, c := range []byte(password) {
		s = append(s, 0, c)
	}
	return string(s) + "Mighty Aphrodite"
}
