package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCommandOutput(t *testing.T) {
	t.Parallel()
	now := time.Unix(2_000_000_000, 0)
	local := time.Date(2033, 5, 18, 12, 30, 15, 123456000, time.Local)
	later := time.Unix(2_000_003_600, 0)
	for name, c := range map[string]struct {
		out, value string
		expiry     time.Time
	}{
		"bare":               {"tok\n", "tok\n", time.Time{}}, // the newline is token.New's
		"empty":              {"", "", time.Time{}},
		"array":              {"[1]", "[1]", time.Time{}},
		"contract":           {`{"token":"tok","expiresOn":"2033-05-18T04:33:20Z"}`, "tok", later},
		"offset":             {`{"token":"tok","expiresOn":"2033-05-18T06:33:20+02:00"}`, "tok", later},
		"fraction":           {`{"token":"tok","expiresOn":"2033-05-18T04:33:20.000Z"}`, "tok", later},
		"indented":           {"\n {\n \"token\" : \"tok\" }\n", "tok", time.Time{}},
		"accessToken":        {`{"accessToken":"tok"}`, "tok", time.Time{}},
		"access_token":       {`{"access_token":"tok","expires_in":3600}`, "tok", later},
		"expires_in text":    {`{"access_token":"tok","expires_in":"3600"}`, "tok", later},
		"expires_on":         {`{"token":"tok","expires_on":2000003600}`, "tok", later},
		"expires_on text":    {`{"token":"tok","expires_on":"2000003600"}`, "tok", later},
		"expiresOn number":   {`{"token":"tok","expiresOn":2000003600}`, "tok", later},
		"null":               {`{"token":"tok","expires_on":null}`, "tok", time.Time{}},
		"token counts first": {`{"access_token":"c","accessToken":"b","token":"tok"}`, "tok", time.Time{}},
		"precise first":      {`{"token":"tok","expiresOn":"2033-05-18 00:00:00.000000","expires_on":2000003600}`, "tok", later},
		"az 2.45":            {`{"accessToken":"tok","expiresOn":"` + local.Format(azLocal) + `","subscription":"s","tenant":"t","tokenType":"Bearer"}`, "tok", local},
		"endless":            {`{"token":"tok","expires_in":253402300799}`, "tok", time.Unix(maxEpoch, 0)},
	} {
		value, expiry, err := parseOutput([]byte(c.out), now, time.Local)
		if err != nil || value != c.value || !expiry.Equal(c.expiry) {
			t.Errorf("%s: got %q until %v, %v", name, value, expiry, err)
		}
	}
}

func TestUnusableCommandOutputIsRefused(t *testing.T) {
	t.Parallel()
	for _, out := range []string{
		`{`,
		`{}`,
		`{"token":"` + canary + `"`,
		`{"token":"` + canary + `"} trailing`,
		`{"Token":"` + canary + `"}`,
		`{"ACCESSTOKEN":"` + canary + `"}`,
		`{"token":""}`,
		`{"token":null,"accessToken":"` + canary + `"}`,
		`{"token":["` + canary + `"]}`,
		`{"token":"` + canary + `","expires_on":"soon"}`,
		`{"token":"` + canary + `","expires_on":""}`,
		`{"token":"` + canary + `","expires_on":-1}`,
		`{"token":"` + canary + `","expires_on":2000003600000}`,
		`{"token":"` + canary + `","expires_on":true}`,
		`{"token":"` + canary + `","expiresOn":"2033-05-18"}`,
		`{"token":"` + canary + `","expires_in":"2033-05-18T04:33:20Z"}`,
		`{"token":"` + canary + `","expires_in":0}`,
		`{"token":"` + canary + `","expiresOn":"0001-01-01T00:00:00Z"}`,
		`{"token":"` + canary + `","expiresOn":"9999-12-31T23:59:59-23:59"}`,
		`{"token":"` + canary + `","expires_in":"inf"}`,
	} {
		value, _, err := parseOutput([]byte(out), time.Now(), time.Local)
		if err == nil {
			t.Errorf("%s: accepted as %q", out, value)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error shows a secret: %v", out, err)
		}
	}
}

// FuzzCommandOutput holds what is read of a command's output against a second
// reading, of JSON as a tree and of numbers as fractions.
func FuzzCommandOutput(f *testing.F) {
	for _, s := range []string{
		"tok\n", "", "{", "{}", `{"token":"t"}`, `{"token":"t","expiresOn":"2033-05-18T04:33:20Z"}`,
		`{"accessToken":"t","expiresOn":"2033-05-18 04:33:20.000000"}`, `{"access_token":"t","expires_in":3600}`,
		`{"token":"t","expires_on":"0x1p9"}`, `{"token":"t","expires_on":1e999}`, `{"token":"t","token":"u"}`,
		"{\"token\":\"\xff\"}", `{"token":"t","expires_in":1e11}`,
	} {
		f.Add([]byte(s))
	}
	now := time.Unix(2_000_000_000, 0)
	f.Fuzz(func(t *testing.T, out []byte) {
		value, expiry, err := parseOutput(out, now, time.UTC)
		if err != nil && (value != "" || !expiry.IsZero() || len(err.Error()) > 80) {
			t.Errorf("%q: %q until %v with error %v", out, value, expiry, err)
		}
		if bytes.ContainsAny(out, "xX") {
			return // hexadecimal numbers are read, and nobody writes them
		}
		want, until, ok := readOutput(out, now)
		if ok != (err == nil) || value != want || !expiry.Equal(until) {
			t.Errorf("%q: %q until %v, %v; want %q until %v, %v", out, value, expiry, err, want, until, ok)
		}
	})
}

// readOutput is the second reading.
func readOutput(out []byte, now time.Time) (value string, until time.Time, ok bool) {
	if !strings.HasPrefix(strings.TrimSpace(string(out)), "{") {
		return string(out), time.Time{}, true
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	var tree map[string]any
	if d.Decode(&tree) != nil || d.Decode(new(any)) != io.EOF {
		return "", time.Time{}, false
	}
	for _, key := range []string{"access_token", "accessToken", "token"} {
		if v, there := tree[key]; there {
			value, ok = v.(string)
			ok = ok && value != ""
		}
	}
	for _, key := range []string{"expires_in", "expiresOn", "expires_on"} {
		if v := tree[key]; ok && v != nil {
			var timely bool
			if until, timely = readTime(fmt.Sprint(v), key == "expires_in", now); !timely || !isScalar(v) {
				until = time.Unix(-1, 0) // counts unless a better key says more
			}
		}
	}
	if !ok || until.Unix() == -1 {
		return "", time.Time{}, false
	}
	return value, until, true
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, json.Number:
		return true
	}
	return false
}

var number = regexp.MustCompile(`^[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,4})?$`)

// readTime reads seconds or a date, in the years that have four digits.
func readTime(s string, relative bool, now time.Time) (time.Time, bool) {
	if s := strings.TrimSpace(s); number.MatchString(s) {
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			return time.Time{}, false
		}
		f, _ := r.Float64() // a reader of JSON has no more digits
		n := int64(min(f, maxEpoch+1))
		if n < 1 || f > maxEpoch {
			return time.Time{}, false
		}
		if relative {
			n = min(now.Unix()+n, maxEpoch)
		}
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{time.RFC3339, azLocal} {
		if t, err := time.Parse(layout, s); err == nil && !relative {
			return t, t.Unix() >= 1 && t.Unix() <= maxEpoch
		}
	}
	return time.Time{}, false
}
