package config

import (
	"math"
	"strconv"
	"strings"
)

// size returns a number of bytes: "8MiB", "64KiB", "1GiB", or a bare number,
// quoted or not.
func (t *table) size(key string, absent int64) int64 {
	if n, ok := t.keys[key].(int64); ok {
		t.known = append(t.known, key)
		if n < 0 {
			t.errorf(t.at(key), "%s is negative", t.name(key))
			return absent
		}
		return n
	}
	s, ok := value[string](t, key, `a size such as "8MiB"`)
	if !ok {
		return absent
	}
	n, ok := parseSize(s)
	if !ok {
		t.errorf(t.at(key), "%s: %s is not a size", t.name(key), show(s)).hint(`"8MiB", "512KiB", "1GiB", or a number of bytes`)
		return absent
	}
	return n
}

func parseSize(s string) (bytes int64, ok bool) {
	unit := int64(1)
	for i, suffix := range []string{"B", "KiB", "MiB", "GiB"} {
		if number, found := strings.CutSuffix(s, suffix); found && endsInDigit(number) {
			s, unit = number, 1<<(10*i)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// endsInDigit reports whether s ends in a digit, a space after it allowed: "8 MiB".
func endsInDigit(s string) bool {
	s = strings.TrimSuffix(s, " ")
	return s != "" && '0' <= s[len(s)-1] && s[len(s)-1] <= '9'
}
