package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/token"
)

// maxHeaderValue bounds what a header's file may hold, as that of a token.
const maxHeaderValue = 64 << 10

// headers resolves the values of a rule's headers for each request, so that a
// secret rotated on disk is picked up.
func headers(hs []config.Header) []inject.Header {
	out := make([]inject.Header, len(hs))
	for i, h := range hs {
		value := func() (string, error) { return h.Value, nil }
		switch {
		case h.Env != "":
			value = func() (string, error) { return headerFromEnv(h) }
		case h.File != "":
			value = func() (string, error) { return headerFromFile(h) }
		}
		out[i] = inject.Header{Name: h.Name, Value: value}
	}
	return out
}

func headerFromEnv(h config.Header) (string, error) {
	v, ok := os.LookupEnv(h.Env)
	if !ok {
		return "", noValue(h, "the environment variable "+h.Env+" is not set", "set "+h.Env+" and start injectproxy again")
	}
	return v, nil
}

// headerFromFile opens regular files only: a pipe would keep the request
// waiting for a writer.
func headerFromFile(h config.Header) (string, error) {
	hint := "write the value to " + h.File
	info, err := os.Stat(h.File)
	if err == nil && !info.Mode().IsRegular() {
		return "", noValue(h, h.File+" is not a regular file", hint)
	}
	f, err := os.Open(h.File)
	if err != nil {
		return "", unreadable(h, err, hint)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeaderValue+1))
	switch {
	case err != nil:
		return "", unreadable(h, err, hint)
	case len(b) > maxHeaderValue:
		return "", noValue(h, fmt.Sprintf("%s is larger than %d KiB", h.File, maxHeaderValue>>10), hint)
	}
	return string(b), nil
}

// unreadable is the failure err to read a header's file. Of err only the cause
// is told: the path stands there already.
func unreadable(h config.Header, err error, hint string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return noValue(h, fmt.Sprintf("%s cannot be read: %v", h.File, err), hint)
}

// noValue is the failure to get the value of a header, told as that of a token.
func noValue(h config.Header, message, hint string) error {
	return &token.Error{Class: token.Misconfigured, Source: "header " + h.Name, Message: message, Hint: hint}
}
