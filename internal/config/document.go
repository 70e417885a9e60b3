package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile is the longest file that is read. Configurations are a few KiB;
// team files are not trusted to be.
const maxFile = 1 << 20

// document is one decoded file.
type document struct {
	*report
	source string // the file, absolute
	root   map[string]any
	pos    positions
}

// exposure is how others could change a file, and the remedy; both are "" if
// they cannot.
type exposure struct{ problem, hint string }

// read returns the contents of file, which must be a regular file of at most
// maxFile bytes, and how others could change it.
func read(file string) (data []byte, exposed exposure, err error) {
	f, err := open(file)
	if err != nil {
		return nil, exposure{}, errors.New("cannot be read: " + cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, exposure{}, errors.New("cannot be read: " + cause(err))
	case !info.Mode().IsRegular():
		return nil, exposure{}, errors.New("is not a regular file")
	}
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, exposure{}, errors.New("cannot be read: " + cause(err))
	case len(data) > maxFile:
		return nil, exposure{}, fmt.Errorf("is larger than %d KiB", maxFile>>10)
	}
	return data, writableByOthers(file, info), nil
}

// cause is the text of err without the path, which the problem has already.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

// decode parses data. It reports what is not TOML and then returns nil.
func decode(r *report, file string, data []byte) *document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &document{report: r, source: file, root: map[string]any{}}
	// The order matters: locate bounds how deep values nest, and the decoder,
	// whose memory explodes on depth, only sees what locate has accepted.
	var problem *Problem
	if d.pos, problem = locate(file, data); problem != nil {
		r.add(*problem)
		return nil
	}
	if _, err := toml.Decode(string(data), &d.root); err != nil {
		at := Position{File: file, Line: 1, Column: 1}
		message := "is not TOML"
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			at.Line = max(1, syntax.Position.Line)
			at.Column = max(1, syntax.Position.Col)
			message = syntaxMessage(syntax.Message)
		}
		r.errorf(at, "%s", message)
		return nil
	}
	return d
}

// syntaxMessage is the decoder's message without the text that it found, for
// that may be a secret whose quotes were forgotten.
func syntaxMessage(message string) string {
	switch {
	case strings.HasPrefix(message, "Key '"):
		return "key" + strings.TrimSuffix(message[len("Key"):], ".")
	case strings.Contains(message, "out of range"), strings.Contains(message, "float"):
		return "the number is out of range"
	case strings.Contains(message, "datetime"):
		return "there is no such date or time"
	}
	return "is not TOML"
}

// abs makes path absolute: a relative path is relative to the file it stands in.
func (d *document) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(d.source), path)
}
