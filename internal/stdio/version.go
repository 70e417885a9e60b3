package stdio

import (
	"net/http"
	"slices"
)

// Versions of the protocol are dates, and compare as strings.
const (
	firstSessionless = "2026-07-28"     // the first that has no sessions
	newestModern     = firstSessionless // what the bridge speaks to modern servers by itself
	newestLegacy     = "2025-11-25"     // and to those with an initialize
)

// legacyVersions returns those that have an initialize, the newest first.
func legacyVersions() []string {
	return []string{newestLegacy, "2025-06-18", "2025-03-26", "2024-11-05"}
}

// legacyVersion reports whether version is one that has an initialize.
func legacyVersion(version string) bool { return slices.Contains(legacyVersions(), version) }

// sessionless reports whether a request is of a version that has neither
// sessions nor streams that can be resumed.
func sessionless(h http.Header) bool { return h.Get(headerVersion) >= firstSessionless }
