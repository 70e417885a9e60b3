package source

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// maxRecord bounds a record's file, in bytes.
const maxRecord = 64 << 10

// readRecord returns the authentication record at path: whose tokens to look
// for in the system's store. It is no secret, and grants nothing.
func readRecord(path string) (r azidentity.AuthenticationRecord, err error) {
	text, err := readAtMost(path, maxRecord)
	if err != nil {
		return r, err
	}
	if json.Unmarshal([]byte(text), &r) != nil || r.HomeAccountID == "" {
		return r, errors.New("it is no authentication record")
	}
	return r, nil
}

// writeRecord replaces the record at path in one step, so that another process
// reads the old one or the new one.
func writeRecord(path string, r azidentity.AuthenticationRecord) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".record-*") // for its owner alone
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
