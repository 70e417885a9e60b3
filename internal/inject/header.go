package inject

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/injectproxy/injectproxy/internal/token"
)

// kept reports whether the client's own value of the token's header stays. Two
// values are refused: servers differ in which of them counts.
func (t *transport) kept(h http.Header) (bool, error) {
	if !t.o.Keep || t.removed[t.carrier] {
		return false, nil
	}
	values, filled := 0, false
	for name, vv := range h {
		if textproto.CanonicalMIMEHeaderKey(name) == t.carrier {
			values += len(vv)
			filled = filled || len(vv) > 0 && vv[0] != ""
		}
	}
	if values > 1 {
		return false, fmt.Errorf("inject: %w: it brings more than one value of the header that carries it", ErrRefused)
	}
	return filled, nil
}

// remaining returns a copy of h without what is stripped or set here. Names are
// compared in canonical form, since a map filled by hand may hold another.
func (t *transport) remaining(h http.Header, kept bool) http.Header {
	out := make(http.Header, len(h)+1+len(t.set))
	for name, values := range h {
		if !t.replaces(name, kept) {
			out[name] = values
		}
	}
	return out
}

// replaces reports whether the client's header of that name goes no further.
func (t *transport) replaces(name string, kept bool) bool {
	for _, own := range t.own {
		// Names of one length are the same in canonical form if and only if they
		// are in any case: a letter outside of ASCII that folds into it is longer.
		if len(name) == len(own) && strings.EqualFold(name, own) {
			return own != t.carrier || !kept || t.set[own]
		}
	}
	return false
}

// setHeaders adds the rule's own headers.
func (t *transport) setHeaders(out http.Header) error {
	for _, h := range t.o.Headers {
		value, err := h.Value()
		if err != nil {
			return unusable(h.Name, "its value could not be had", err)
		}
		value = strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
		if flaw := flaw(value); flaw != "" {
			return unusable(h.Name, "its value "+flaw, nil)
		}
		out[textproto.CanonicalMIMEHeaderKey(h.Name)] = []string{value}
	}
	return nil
}

// flaw says what keeps value from being sent, without repeating it: values are
// secrets.
func flaw(value string) string {
	if value == "" {
		return "is empty"
	}
	for i := range len(value) {
		c := value[i]
		blank := (c == ' ' || c == '\t') && i > 0 && i < len(value)-1
		if (c <= ' ' || c > '~') && !blank {
			return fmt.Sprintf("has a byte that no header may carry (0x%02x at offset %d)", c, i)
		}
	}
	return ""
}

// unusable is the error for a header of the rule. A cause that is a
// [*token.Error] already says it better.
func unusable(name, message string, cause error) error {
	if known := (*token.Error)(nil); errors.As(cause, &known) {
		return known
	}
	return &token.Error{Class: token.Misconfigured, Source: "header " + name, Message: message, Err: cause}
}
