package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
)

// encode returns the whole CA as one file: intermediate, root, and the
// intermediate's key.
func (c chain) encode() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(der)
	defer clear(key)
	return slices.Concat(certificatePEM(c.intermediate), certificatePEM(c.root), key), nil
}

func decodeSecret(data []byte) (chain, error) {
	blocks, err := decodeBlocks(data, "CERTIFICATE", "CERTIFICATE", "PRIVATE KEY")
	if err != nil {
		return chain{}, err
	}
	defer clear(blocks[2])
	var c chain
	if c.intermediate, err = x509.ParseCertificate(blocks[0]); err != nil {
		return chain{}, errors.New("the intermediate's certificate is damaged")
	}
	if c.root, err = x509.ParseCertificate(blocks[1]); err != nil {
		return chain{}, errors.New("the root's certificate is damaged")
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[2])
	if err != nil {
		return chain{}, errors.New("the key is damaged")
	}
	ecKey, ok := key.(*ecdsa.PrivateKey)
	if !ok || ecKey.Curve != elliptic.P256() {
		return chain{}, errors.New("the key is not of the kind that injectproxy makes")
	}
	c.key = ecKey
	return c, nil
}

func decodeRoot(data []byte) (*x509.Certificate, error) {
	blocks, err := decodeBlocks(data, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(blocks[0])
	if err != nil {
		return nil, errors.New("the certificate is damaged")
	}
	return c, nil
}

// decodeBlocks reads data as PEM blocks of exactly these types in this order,
// with nothing after them. Its errors show nothing of data.
func decodeBlocks(data []byte, types ...string) ([][]byte, error) {
	var blocks [][]byte
	for _, want := range types {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != want {
			return nil, errors.New("is incomplete or damaged")
		}
		blocks = append(blocks, block.Bytes)
		data = rest
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return nil, errors.New("has something after its end")
	}
	return blocks, nil
}
