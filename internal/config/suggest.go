package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
)

// didYouMean returns `: did you mean "token"?` if a candidate is near word,
// else "".
func didYouMean(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}

// nearest returns the candidate that word was probably meant to be, or "".
// A third of the letters may be wrong, and one more where the first is right,
// so that two swapped letters of a short word are forgiven. Case counts for
// nothing.
func nearest(word string, candidates []string) string {
	if word == "" || len(word) > 100 {
		return ""
	}
	word = strings.ToLower(word)
	found, best := "", len(word)
	for _, c := range candidates {
		lower := strings.ToLower(c)
		limit := (len(word) + 1) / 3
		if strings.HasPrefix(lower, word[:1]) {
			limit++
		}
		if d := levenshtein.ComputeDistance(word, lower); d <= limit && d < best {
			found, best = c, d
		}
	}
	return found
}

// oneOf lists words as a sentence does: "a", "b" or "c".
func oneOf(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// show quotes text from a file for a message: on one line, not all of it if it
// is long, and nothing of it if it could be a URL with a password.
func show(s string) string {
	const most = 60
	if strings.Contains(s, "@") {
		return "what stands there (not shown: it has userinfo)"
	}
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
