package telemetry

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

func healed() *record.Record {
	return &record.Record{
		Team: "platform", Rule: "mcp-1", Kind: "mcp", Method: "POST",
		Authority: "mcp.corp.example:443", Path: "/servers/kusto/mcp", Status: 200, Bytes: 48211,
		Source: "azure-cli", Fingerprint: "5f70bf18", Attempts: 2, Retry: "sent again with a new token",
	}
}

func TestRequestLine(t *testing.T) {
	const rest = " msg=request team=platform rule=mcp-1 kind=mcp method=POST authority=mcp.corp.example:443 path=/servers/kusto/mcp" +
		` status=200 attempt=2 source=azure-cli token=5f70bf18 duration_ms=12.346 bytes=48211 retry="sent again with a new token"` + "\n"
	log, out := newLogger(t, "info", "text")
	RequestLine(log, healed(), 12345678*time.Nanosecond)
	if _, got, _ := strings.Cut(out.String(), "level=INFO"); got != rest {
		t.Errorf("got  %swant %s", got, rest)
	}

	log, out = newLogger(t, "info", "json")
	RequestLine(log, healed(), 2*time.Hour)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "request", "team": "platform", "rule": "mcp-1", "kind": "mcp", "method": "POST",
		"authority": "mcp.corp.example:443", "path": "/servers/kusto/mcp", "status": 200.0, "attempt": 2.0,
		"source": "azure-cli", "token": "5f70bf18", "duration_ms": 7200000.0, "bytes": 48211.0, "retry": "sent again with a new token",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A request that matched no rule has the same keys, so that lines can be cut
// up by position, and only a refusal has a problem, only a session that was lost its field.
func TestRequestLineHasAllItsKeysAlways(t *testing.T) {
	want := strings.Fields("time level msg team rule kind method authority path status attempt source token duration_ms bytes")
	log, out := newLogger(t, "info", "text")
	RequestLine(log, new(record.Record), 0)
	if keys, _ := textPairs(t, strings.TrimSpace(out.String())); !reflect.DeepEqual(keys, want) {
		t.Errorf("got %q", keys)
	}
	out.Reset()
	RequestLine(log, &record.Record{Problem: "sign-in needed"}, 0)
	if keys, _ := textPairs(t, strings.TrimSpace(out.String())); !reflect.DeepEqual(keys, append(want, "problem")) {
		t.Errorf("got %q", keys)
	}
	out.Reset()
	RequestLine(log, &record.Record{Session: "healed"}, 0)
	if keys, values := textPairs(t, strings.TrimSpace(out.String())); !reflect.DeepEqual(keys, append(want, "session")) || values["session"] != "healed" {
		t.Errorf("got %q", keys)
	}
}

func FuzzRequestLineCannotBeForged(f *testing.F) {
	for _, s := range []string{
		"/", "/x status=500", "/x\nlevel=ERROR msg=forged", "/\r\n{\"level\":\"ERROR\"}", `/"`, `/\`, `/a=b`,
		"/\x1b[2J", "/\x00", "/\u202e", "/\u2028", "/\u009b31m", "/\xff", `/https://h\`, "/https://u:p@h?q",
	} {
		f.Add("GET", s)
		f.Add(s, "/")
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := &record.Record{Method: method, Path: path, Status: 200}

		log, out := newLogger(t, "info", "text")
		RequestLine(log, r, 0)
		line, ok := strings.CutSuffix(out.String(), "\n")
		if !ok || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == '\u202e' || r == '\u009b' }) {
			t.Errorf("not one line of text: %q", line)
		}
		keys, values := textPairs(t, line)
		if len(keys) != 15 || len(values) != 15 || values["status"] != "200" || values["level"] != "INFO" {
			t.Errorf("forged: %s", line)
		}

		log, out = newLogger(t, "info", "json")
		RequestLine(log, r, 0)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("not one line of JSON: %q", out)
		}
		if len(got) != 15 || got["status"] != 200.0 || got["level"] != "INFO" {
			t.Errorf("forged: %s", out)
		}
	})
}

func TestRequestLineCostsNothingWhereTheLevelIsOff(t *testing.T) {
	log, out := newLogger(t, "warn", "text")
	r := healed()
	if n := testing.AllocsPerRun(100, func() { RequestLine(log, r, time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if out.Len() != 0 {
		t.Errorf("wrote %s", out)
	}
}

func BenchmarkRequestLine(b *testing.B) {
	for _, level := range []string{"warn", "info"} {
		b.Run(level, func(b *testing.B) {
			log, out := newLogger(b, level, "text")
			r := healed()
			b.ReportAllocs()
			for b.Loop() {
				RequestLine(log, r, time.Second)
				out.Reset()
			}
		})
	}
}
