package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// auditFile is a file that is appended to in whole lines. It is not safe for
// concurrent use.
type auditFile struct {
	name string
	file *os.File
	rest []byte // of a line that was not written as a whole
}

func openAuditFile(name string) (f auditFile, err error) {
	file, err := openAppending(name)
	if err != nil {
		return f, err
	}
	return auditFile{name, file, unended(name)}, nil
}

func openAppending(name string) (*os.File, error) {
	if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("%s is a pipe, and who reads it would decide which lines there are", name)
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// unended returns the line's end that the file lacks: a process that was killed
// may have left half a line.
func unended(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil // it may be there to be written only
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return nil
	}
	return []byte("\n")
}

// write appends line, behind what is left of the one before. On error it
// returns how many lines are lost: none if this one has begun.
func (f *auditFile) write(line []byte) (lost int64, err error) {
	whole, torn := line, len(f.rest)
	if torn > 0 {
		whole = append(f.rest, line...)
	}
	n, err := f.file.Write(whole)
	switch {
	case err == nil:
		f.rest = nil
		return 0, nil
	case n > torn:
		f.rest = bytes.Clone(whole[n:])
		return 0, err
	}
	f.rest = bytes.Clone(whole[n:torn])
	return 1, err
}

// open puts the file of that name in place of the one that is open, which stays
// on error.
func (f *auditFile) open() error {
	file, err := openAppending(f.name)
	if err != nil {
		return err
	}
	if !same(file, f.file) {
		f.file.Write(f.rest) // the last chance of a line that was cut off
		f.rest = unended(f.name)
	}
	f.file.Close()
	f.file = file
	return nil
}

func (f *auditFile) close() { f.file.Close() }

func same(f, g *os.File) bool {
	a, errA := f.Stat()
	b, errB := g.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// reason is what an error says besides the file's name.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
