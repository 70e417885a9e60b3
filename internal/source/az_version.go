package source

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Version returns the version of the az that is there, such as "2.76.0". It
// runs az, and fails as [Az.Token] does.
func (a *Az) Version(ctx context.Context) (string, error) {
	stdout, stderr, err := a.tool.run(ctx, run{sweep: true}, "version", "--output", "json")
	if err != nil {
		return "", a.tool.failure(ctx, err, stderr)
	}
	var versions map[string]any
	if json.Unmarshal(stdout, &versions) == nil {
		// Only what is a version is shown to anybody.
		if v, _ := versions["azure-cli"].(string); AtLeast(v, 0, 0) && only(v, ".-") && len(v) < 40 {
			return v, nil
		}
	}
	return "", a.tool.fail(reason{token.Unknown, "az printed no version", "run in a terminal: az version"})
}

// AtLeast reports whether version, of numbers with dots between them, is
// major.minor or later.
func AtLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	x, errX := strconv.Atoi(first)
	y, errY := strconv.Atoi(second)
	return errX == nil && errY == nil && (x > major || x == major && y >= minor)
}
