package proxy

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// spelled is a request as it stands in a stream, read by the letter of RFC
// 9112. It is the second opinion of [FuzzIntercepted]: neither framing nor
// net/http has a part in it. Where the RFC leaves a choice between refusing
// and reading in one way (an obsolete fold, empty lines in front), it reads;
// where two readings are possible, it refuses.
type spelled struct {
	method, target, version string
	fields                  [][2]string // names in lower case
	body                    string      // as far as it came
	whole                   bool
}

// errMisspelt says that a stream holds what is no request, or more than one
// kind of it.
var errMisspelt = errors.New("not a request by the letter")

// letter reads requests from a stream. Its errors are [io.EOF] at the end of
// one request, [io.ErrUnexpectedEOF] within one, and [errMisspelt].
type letter struct{ *bufio.Reader }

// request reads one request; expects is called for the body that the client
// waits to be asked for.
func (r letter) request(expects func()) (s spelled, err error) {
	if err := r.emptyLines(); err != nil {
		return s, err
	}
	line, err := r.line()
	if err != nil {
		return s, within(err)
	}
	if s.method, s.target, s.version, err = requestParts(line); err != nil {
		return s, err
	}
	if s.fields, err = r.section(); err != nil {
		return s, within(err)
	}
	if strings.EqualFold(s.field("expect"), "100-continue") {
		expects()
	}
	err = within(r.body(&s))
	s.whole = err == nil
	return s, err
}

// within is err inside of a request, which the end of the stream cuts.
func within(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r letter) emptyLines() error {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if b != '\r' && b != '\n' {
			return r.UnreadByte()
		}
	}
}

// line reads up to CR LF, which it drops; either alone is misspelt.
func (r letter) line() (string, error) {
	var line []byte
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == '\n':
			return "", errMisspelt
		case b != '\r':
			line = append(line, b)
			continue
		}
		if b, err = r.ReadByte(); err == nil && b != '\n' {
			err = errMisspelt
		}
		return string(line), err
	}
}

// requestParts splits a request line (RFC 9112, section 3).
func requestParts(line string) (method, target, version string, err error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !httpguts.ValidHeaderFieldName(parts[0]) || parts[1] == "" || strings.ContainsFunc(parts[1], control) {
		return "", "", "", errMisspelt
	}
	// A later HTTP/1 is read as HTTP/1.1 (RFC 9110, section 2.5).
	if minor, ok := strings.CutPrefix(parts[2], "HTTP/1."); !ok || len(minor) != 1 || minor < "0" || minor > "9" {
		return "", "", "", errMisspelt
	}
	return parts[0], parts[1], parts[2], nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// section reads field lines up to the empty one (RFC 9112, section 5).
func (r letter) section() (fields [][2]string, err error) {
	for {
		line, err := r.line()
		if err != nil || line == "" {
			return fields, err
		}
		if line[0] == ' ' || line[0] == '\t' { // obs-fold
			if len(fields) == 0 {
				return nil, errMisspelt
			}
			last := &fields[len(fields)-1]
			last[1] = strings.Trim(last[1]+" "+strings.Trim(line, " \t"), " ")
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errMisspelt
		}
		fields = append(fields, [2]string{strings.ToLower(name), strings.Trim(value, " \t")})
	}
}

// field returns the values of a field, joined.
func (s spelled) field(name string) string { return strings.Join(s.values(name), ", ") }

func (s spelled) values(name string) (list []string) {
	for _, f := range s.fields {
		if f[0] == name {
			list = append(list, f[1])
		}
	}
	return list
}

// body reads what sections 6 and 7 of RFC 9112 say follows the header.
func (r letter) body(s *spelled) error {
	lengths, codings := s.values("content-length"), s.values("transfer-encoding")
	switch {
	case len(codings) > 0:
		if len(codings) > 1 || len(lengths) > 0 || s.version != "HTTP/1.1" || !strings.EqualFold(codings[0], "chunked") {
			return errMisspelt
		}
		return r.chunked(s)
	case len(lengths) == 0:
		return nil
	}
	n, ok := numeral(lengths[0], 10)
	for _, other := range lengths {
		if !ok || other != lengths[0] {
			return errMisspelt
		}
	}
	return r.take(s, n)
}

// take adds n bytes to the body.
func (r letter) take(s *spelled, n int64) error {
	var b strings.Builder
	_, err := io.CopyN(&b, r, n)
	s.body += b.String()
	return err
}

func (r letter) chunked(s *spelled) error {
	for {
		line, err := r.line()
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(line, ";") // extensions mean nothing to anybody
		n, ok := numeral(strings.TrimRight(size, " \t"), 16)
		if !ok {
			return errMisspelt
		}
		if n == 0 {
			_, err := r.section() // trailers
			return err
		}
		if err := r.take(s, n); err != nil {
			return err
		}
		if end, err := r.line(); err != nil || end != "" {
			return errors.Join(err, misspeltIf(end != ""))
		}
	}
}

func misspeltIf(wrong bool) error {
	if wrong {
		return errMisspelt
	}
	return nil
}

// numeral reads a number that is digits and nothing else.
func numeral(s string, base int64) (n int64, ok bool) {
	for _, c := range []byte(strings.ToLower(s)) {
		d := int64(strings.IndexByte("0123456789abcdef", c))
		if d < 0 || d >= base || n > 1<<58 {
			return 0, false
		}
		n = n*base + d
	}
	return n, s != ""
}

// byTheLetter reads all requests of a stream that can be read, and says with
// io.EOF that there is nothing else in it. The last one may not be whole.
func byTheLetter(stream string) (all []spelled, err error) {
	r := letter{bufio.NewReader(strings.NewReader(stream))}
	for {
		s, err := r.request(func() {})
		if s.fields != nil {
			all = append(all, s)
		}
		if err != nil {
			return all, err
		}
	}
}
