package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// azLocal is how az up to 2.53 prints expiresOn: local time, no zone.
const azLocal = "2006-01-02 15:04:05.999999"

// parseOutput reads what a command printed at now: JSON if it begins with a
// brace, else the bare token. A time without a zone is one in zone. Keys are
// matched exactly, and of several that mean the same the most precise one
// counts: az's expiresOn is ambiguous in the hour that a clock is set back, its
// expires_on is not. The errors hold nothing of the output.
func parseOutput(out []byte, now time.Time, zone *time.Location) (value string, expiry time.Time, err error) {
	if trimmed := bytes.TrimSpace(out); len(trimmed) == 0 || trimmed[0] != '{' {
		return string(out), time.Time{}, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(out, &fields) != nil {
		return "", time.Time{}, errors.New("printed JSON that cannot be read")
	}
	if value, err = tokenField(fields); err != nil {
		return "", time.Time{}, err
	}
	if expiry, err = expiryField(fields, now, zone); err != nil {
		return "", time.Time{}, err
	}
	return value, expiry, nil
}

func tokenField(fields map[string]json.RawMessage) (string, error) {
	for _, key := range []string{"token", "accessToken", "access_token"} {
		raw, ok := fields[key]
		if !ok {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil || s == "" {
			return "", errors.New("printed JSON whose " + key + " is no text")
		}
		return s, nil
	}
	return "", errors.New("printed JSON without token, accessToken or access_token")
}

func expiryField(fields map[string]json.RawMessage, now time.Time, zone *time.Location) (time.Time, error) {
	for _, key := range []string{"expires_on", "expiresOn", "expires_in"} {
		raw, ok := fields[key]
		if !ok || string(raw) == "null" {
			continue
		}
		t, err := instant(raw, key == "expires_in", now, zone)
		if err != nil {
			return time.Time{}, errors.New("printed JSON whose " + key + " is no time")
		}
		return t, nil
	}
	return time.Time{}, nil
}

// instant reads a number of seconds, bare or as text, since 1970 or, if
// relative, from now on; or else an RFC 3339 time or az's local one in zone.
func instant(raw json.RawMessage, relative bool, now time.Time, zone *time.Location) (time.Time, error) {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(raw, &text); err != nil {
			return time.Time{}, err
		}
	}
	n, err := seconds([]byte(text))
	switch {
	case err == nil && relative:
		return time.Unix(min(now.Unix()+n, maxEpoch), 0), nil
	case err == nil:
		return time.Unix(n, 0), nil
	case relative:
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.ParseInLocation(azLocal, text, zone)
	}
	if err == nil && (t.Unix() < 1 || t.Unix() > maxEpoch) {
		err = errNotSeconds // an offset reaches beyond either end
	}
	return t, err
}
