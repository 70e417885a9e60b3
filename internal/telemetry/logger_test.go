package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
)

func newLogger(t testing.TB, level, format string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	log, err := NewLogger(out, level, format)
	if err != nil {
		t.Fatal(err)
	}
	return log, out
}

// textPairs reads a line of the text format. It fails the test if the line is
// none.
func textPairs(t *testing.T, line string) (keys []string, values map[string]string) {
	t.Helper()
	token := func(stop string) string {
		if quoted, err := strconv.QuotedPrefix(line); err == nil && line[0] == '"' {
			line = line[len(quoted):]
			s, _ := strconv.Unquote(quoted)
			return s
		}
		n := strings.IndexAny(line, stop)
		if n < 0 {
			n = len(line)
		}
		s := line[:n]
		line = line[n:]
		return s
	}
	values = make(map[string]string)
	for whole := line; line != ""; line = strings.TrimPrefix(line, " ") {
		key := token("=")
		if !strings.HasPrefix(line, "=") {
			t.Errorf("no value for %q in %s", key, whole)
			return
		}
		line = line[1:]
		keys, values[key] = append(keys, key), token(" ")
		if line != "" && line[0] != ' ' {
			t.Errorf("no space after %q in %s", key, whole)
			return
		}
	}
	return keys, values
}

func TestNewLogger(t *testing.T) {
	tests := []struct{ level, format, want string }{ // want: the levels that are written
		{"", "", "INFO WARN ERROR"},
		{"debug", "text", "DEBUG INFO WARN ERROR"},
		{"INFO", "JSON", "INFO WARN ERROR"},
		{"warn", "text", "WARN ERROR"},
		{"error", "json", "ERROR"},
		{"loud", "text", "error: log level"},
		{"info+1", "text", "error: log level"},
		{"info", "xml", "error: log format"},
	}
	for _, tt := range tests {
		t.Run(tt.level+" "+tt.format, func(t *testing.T) {
			var out bytes.Buffer
			log, err := NewLogger(&out, tt.level, tt.format)
			if err != nil {
				if got := "error: " + err.Error(); !strings.HasPrefix(tt.want, "error") || !strings.HasPrefix(got, tt.want) {
					t.Error(err)
				}
				return
			}
			var got []string
			for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				out.Reset()
				log.Log(t.Context(), l, "x")
				if out.Len() == 0 {
					continue
				}
				got = append(got, l.String())
				if isJSON := out.Bytes()[0] == '{'; isJSON != strings.EqualFold(tt.format, "json") {
					t.Errorf("format %q: %s", tt.format, &out)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("wrote %q, want %q", got, tt.want)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A writer that reports fewer bytes than it was given owes an error, however
// short the masked line was.
func TestMaskerReportsWhatItWasGiven(t *testing.T) {
	line := []byte("Bearer " + canary)
	if n, err := (masker{new(bytes.Buffer)}).Write(line); n != len(line) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := (masker{full{}}).Write(line); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}
