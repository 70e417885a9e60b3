package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	canary = "Canary-7f3a-SECRET"
	jwt    = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl-_x"
)

func TestMask(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"token", "got " + jwt + " back", "got [redacted] back"},
		{"token in a parameter", "access_token=" + jwt + "&x", "access_token=[redacted]&x"},
		{"beginning of a token", jwt[:20] + "…", "[redacted]…"},
		{"two tokens", jwt + "," + jwt, "[redacted],[redacted]"},
		{"claims alone", "claims=eyJhY2Nlc3NfdG9rZW4iOnt9fQ==", "claims=[redacted]=="},
		{"bearer", "Authorization: Bearer " + canary, "Authorization: Bearer [redacted]"},
		{"any case, more space", "BEARER   " + canary + "!", "BEARER   [redacted]!"},
		{"basic", "Proxy-Authorization:[Basic dTpw=]", "Proxy-Authorization:[Basic [redacted]]"},
		{"header in JSON", `{"Authorization":["Bearer x1.y"]}`, `{"Authorization":["Bearer [redacted]"]}`},
		{"one digit", "bearer 1", "bearer [redacted]"},
		{"userinfo", "http://user:" + canary + "@proxy:3128/", "http://[redacted]@proxy:3128/"},
		{"user alone", "https://" + canary + "@h", "https://[redacted]@h"},
		{"at sign in the password", "http://u:p@" + canary + "@h", "http://[redacted]@h"},
		{"quote in the password", `parse \"http://u:p\"` + canary + `@h\": bad`, `parse \"http://[redacted]@h\": bad`},
		{"backslash in the password", `http://u:p\\` + canary + `@h`, `http://[redacted]@h`},
		{"query", "https://h/p?code=" + canary + " failed", "https://h/p?[redacted] failed"},
		{"quote in the query", `"https://h/p?a=\"` + canary + `" x`, `"https://h/p?[redacted]" x`},
		{"fragment", "https://h/p#access_token=" + canary, "https://h/p#[redacted]"},
		{"userinfo and query", "https://u:p@h/?q=1", "https://[redacted]@h/?[redacted]"},
		{"question mark in the password", "http://u:p?" + canary + "@h", "http://u:p?[redacted]"},
		{"URL in a path", "https://h/go/http://u:p@i/?q", "https://h/go/http://[redacted]@i/?[redacted]"},
		{"token in a path", "https://h/" + jwt + "/x", "https://h/[redacted]/x"},

		{"plain", "msg=request path=/v1/x?y status=200", ""},
		{"short base64", "eyJhIjox", ""},
		{"prose", "the bearer token was refused, basic authentication too", ""},
		{"challenge", `Bearer realm="x", error=\"invalid_token\"`, ""},
		{"quoted challenge", `www-authenticate="Bearer error=\"invalid_token\""`, ""},
		{"nothing behind the scheme", "Bearer ", ""},
		{"no scheme", "Forbearers Xy1", ""},
		{"mail address", "https://h/p mail@corp.example", ""},
		{"at sign in a path", "https://h/@scope/pkg", ""},
		{"empty query", "https://h/p? x", ""},
		{"Windows path", `C:\Users\?\x`, ""},
		{"ends in a backslash", `https://h\`, ""},
		{"a value's end", `u=https://h\ k=a@b`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.in
			}
			if got := string(mask([]byte(tt.in))); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// forms are the ways in which a secret gets into a line by accident.
var forms = map[string]func(secret string) any{
	"message": func(s string) any { return "sent Bearer " + s },
	"header":  func(s string) any { return http.Header{"Authorization": {"Bearer " + s}} },
	"basic":   func(s string) any { return []string{"Basic " + s} },
	"url": func(s string) any {
		return (&url.URL{Scheme: "https", User: url.UserPassword("u", s), Host: "h"}).String()
	},
	"query":    func(s string) any { return "https://h/p?token=" + s },
	"error":    func(s string) any { return &url.Error{Op: "Get", URL: "https://h/?q=" + s, Err: errors.New("refused")} },
	"parse":    func(s string) any { _, err := url.Parse("http://u:\"" + s + "@h"); return err },
	"struct":   func(s string) any { return struct{ A, B string }{"Bearer " + s, "x"} },
	"bytes":    func(s string) any { return json.RawMessage(`{"a":"Bearer ` + s + `"}`) },
	"redirect": func(s string) any { return "https://h/cb#id_token=" + s },
}

func TestSecretIsInNoLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for name, form := range forms {
			t.Run(format+" "+name, func(t *testing.T) {
				log, out := newLogger(t, "debug", format)
				v := form(canary)
				log.Debug("x", "v", v)
				log.With("w", v).WithGroup("g").Error("y", slog.Group("h", "v", v))
				if s, ok := v.(string); ok {
					log.Info(s)
				}
				if strings.Contains(out.String(), canary) {
					t.Errorf("the secret is in the log:\n%s", out)
				}
				if !strings.Contains(out.String(), masked) {
					t.Errorf("nothing was masked, so the test saw no secret:\n%s", out)
				}
			})
		}
	}
}

// Whatever stands around a secret, it is masked, and the line remains one line
// of its format.
func FuzzMask(f *testing.F) {
	f.Add("", "")
	f.Add("http://", "@x\\")
	f.Add("\\", "\"\n")
	f.Add("eyJ0eXAiOiJKV1QiLCJ Bearer", " =\"x\"")
	f.Add("https://h?a\xff", "\u2028&<")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, format := range []string{"text", "json"} {
			log, out := newLogger(t, "info", format)
			log.Info(before+"Bearer "+canary+after, "k", before+" "+jwt+after)
			log.Info("x", "k", before+"http://u:"+canary+"@h"+after, "l", before)
			log.Info(after, "k", before, "l", "https://h/?q="+canary+after)
			if strings.Contains(out.String(), canary) || strings.Contains(out.String(), jwt[:30]) {
				t.Errorf("%s: the secret is in the log:\n%s", format, out)
			}
			lines := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
			if len(lines) != 3 {
				t.Errorf("%s: %d lines:\n%s", format, len(lines), out)
			}
			for _, line := range lines {
				if format == "json" && !json.Valid(line) {
					t.Errorf("not JSON: %s", line)
				}
				if format == "text" {
					textPairs(t, string(line))
				}
			}
		}
	})
}

// Lines as long as these would take the better part of an hour if some part of
// one were read again and again.
func TestHostileLineIsReadOnce(t *testing.T) {
	for _, unit := range []string{"://", "://@", "?://", "Bearer ", "eyJ", "eyJ.", "\\"} {
		mask([]byte(strings.Repeat(unit, 4<<20/len(unit))))
	}
	mask([]byte("Bearer" + strings.Repeat(" ", 4<<20)))
}

func BenchmarkMask(b *testing.B) {
	line := []byte(`time=2026-11-21T07:19:10.062Z level=INFO msg=request team="" rule=mcp-1 kind=mcp method=POST authority=mcp.corp.example:443 path=/servers/kusto/mcp status=200 attempt=1 source=azure-cli token=5f70bf18 duration_ms=12.345 bytes=48211` + "\n")
	b.ReportAllocs()
	for b.Loop() {
		mask(line)
	}
}
