package token

import (
	"encoding/json"
)

// Audience returns whom t says that it is for: its aud claim (RFC 7519, section
// 4.1.3), fit for a log. It reads the payload as [Token.Identity] does, without
// verifying the signature, and serves diagnosis alone. A token that tells none
// has no audience.
func (t Token) Audience() []string {
	c := payload(t.Reveal())
	if s := c.text("aud"); s != "" {
		return []string{s}
	}
	var list []json.RawMessage
	if json.Unmarshal(c["aud"], &list) != nil || len(list) > maxAudiences {
		return nil
	}
	var all []string
	for _, raw := range list {
		if s := (claims{"aud": raw}).text("aud"); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// maxAudiences bounds how many audiences of a token are told.
const maxAudiences = 16
