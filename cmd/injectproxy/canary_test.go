package main

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// shapes returns the forms in which a secret may turn up in text: as it is,
// quoted, percent-encoded in either case, in hex, and in base64 of either alphabet
// at each of the three offsets that text before it may give it.
func shapes(secret string) []string {
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	for _, e := range []string{url.QueryEscape(secret), url.PathEscape(secret), everyByteEscaped(secret)} {
		forms = append(forms, e, lowerEscapes(e))
	}
	for before := range 3 {
		padded := []byte(strings.Repeat("\x00", before) + secret)
		// The characters at either end depend on what stands beside the secret.
		from, to := (before*8+5)/6, len(padded)*8/6
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, alphabet.EncodeToString(padded)[from:to])
		}
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

func everyByteEscaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{s[i]})))
	}
	return b.String()
}

// lowerEscapes writes the hex digits of escapes in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

// leaks returns the names of the secrets that text shows in some form.
func leaks(text string, secrets map[string]string) (found []string) {
	for name, secret := range secrets {
		if slices.ContainsFunc(shapes(secret), func(s string) bool { return strings.Contains(text, s) }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func TestSearchFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	const secret = "cnry+planted/7f3a~9c51"
	secrets := map[string]string{"planted": secret, "other": "cnry+other/1b2c~3d4e"}
	for name, text := range map[string]string{
		"raw":                secret,
		"in a line":          `level=DEBUG msg="x ` + secret + `" y=1`,
		"query":              "https://x/?key=" + url.QueryEscape(secret) + "&b",
		"path":               "https://x/" + url.PathEscape(secret),
		"lower-case escapes": "https://x/?key=" + lowerEscapes(url.QueryEscape(secret)),
		"all escaped":        everyByteEscaped(secret),
		"base64":             base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64url":          base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"basic, offset 1":    base64.StdEncoding.EncodeToString([]byte("u:12" + secret + "/tail")),
		"basic, offset 2":    base64.StdEncoding.EncodeToString([]byte("user:" + secret + "+")),
		"basic, offset 0":    base64.URLEncoding.EncodeToString([]byte("users:" + secret)),
		"hex":                hex.EncodeToString([]byte("x" + secret)),
	} {
		if got := leaks("before "+text+" behind", secrets); !slices.Equal(got, []string{"planted"}) {
			t.Errorf("%s: found %q in %q", name, got, text)
		}
	}
	if got := leaks("cnry planted 7f3a 9c51", secrets); got != nil {
		t.Errorf("found %q where nothing is", got)
	}
}
