package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// lastSecond is the end of the year 9999. What is beyond is no date: conversions
// of larger numbers wrap around, and make the far future the past.
const lastSecond = 253402300799

var (
	errShape     = errors.New("no JSON object")
	errDuplicate = errors.New("a name stands twice")
	errType      = errors.New("of another type")
)

// object is a JSON object whose names are as they were written.
type object map[string]json.RawMessage

// readObject reads data, which has to be one object in which no name stands
// twice. encoding/json would fold names into a struct, and take the last of
// several.
func readObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errShape // it would be replaced, and names be alike that are not
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, errShape
	}
	o := make(object)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errShape
		}
		if _, twice := o[name]; twice {
			return nil, errDuplicate
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errShape
		}
		o[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errShape
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errShape
	}
	return o, nil
}

// text returns the string that name has, and "" without it.
func (o object) text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	return readText(raw)
}

func readText(raw json.RawMessage) (s string, err error) {
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", errType
	}
	return s, nil
}

// texts returns the strings in the array that name has.
func (o object) texts(name string) ([]string, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, errType
	}
	all := make([]string, 0, len(list))
	for _, item := range list {
		s, err := readText(item)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// date returns the NumericDate (RFC 7519, section 2) that name has, and false
// without it.
func (o object) date(name string) (t time.Time, ok bool, err error) {
	raw, ok := o[name]
	if !ok {
		return t, false, nil
	}
	// What JSON allows and ParseFloat reads, and no string, is a number.
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(0 <= seconds && seconds <= lastSecond) {
		return t, false, errType
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true, nil
}
