package source

import (
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
		if err != nil {
			if value != "" || !expiry.IsZero() {
				t.Errorf("%q: %q until %v with error %v", out, value, expiry, err)
			}
			if len(err.Error()) > 80 {
				t.Errorf("%q: the error may quote it: %v", out, err)
			}
			return
		}
		if !expiry.IsZero() && expiry.UTC().Year() > 9999 {
			t.Errorf("%q: expires in the year %d", out, expiry.Year())
		}
	})
}
