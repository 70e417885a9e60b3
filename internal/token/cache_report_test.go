package token

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogSaysWhoseTheTokenIsAtFirstAndWhenThatChanges(t *testing.T) {
	user := func(nonce string) string {
		return jwt(`{"tid":"t1","scp":"a","upn":"ada@corp.example","n":"` + nonce + `"}`)
	}
	steps := []struct{ value, source, want, lacks string }{
		{user("1"), "az", `level=INFO msg="first token" audience=gateway source=az token=FP expiry=2000-01-01T01:00:00.000Z identity=ada@corp.example kind=user tenant=t1`, "former"},
		{user("2"), "az", `level=INFO msg="new token" audience=gateway rejected=OLD claims=false source=az token=FP`, "identity"},
		{user("3"), "environment", `level=INFO msg="new token: its source or identity has changed" audience=gateway rejected=OLD claims=false source=environment token=FP ` +
			`expiry=2000-01-01T01:00:00.000Z identity=ada@corp.example kind=user tenant=t1 former_source=az former_identity=ada@corp.example former_kind=user former_tenant=t1`, ""},
		{jwt(`{"tid":"t1","idtyp":"app","appid":"app-1"}`), "environment", `msg="new token: its source or identity has changed" audience=gateway rejected=OLD claims=false source=environment token=FP ` +
			`expiry=2000-01-01T01:00:00.000Z identity=app-1 kind=application tenant=t1 former_source=environment former_identity=ada@corp.example former_kind=user`, ""},
		{jwt(`{"tid":"t2","idtyp":"app","appid":"app-1"}`), "environment", `msg="new token: its source or identity has changed" `, ""},
		{"opaque-1", "environment", `has changed" audience=gateway rejected=OLD claims=false source=environment token=FP expiry=2000-01-01T01:00:00.000Z former_source=environment former_identity=app-1`, " identity="},
		{"opaque-2", "environment", `level=INFO msg="new token" audience=gateway`, "former"},
	}
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := 0
		c := NewCache(sourceFunc(func(context.Context, Ask) (Token, error) {
			n++
			return New(steps[n-1].value, steps[n-1].source, time.Now().Add(time.Hour))
		}), Options{Name: "gateway", Log: slog.New(slog.NewTextHandler(&log, nil))})
		defer c.Close()
		old := Token{}
		for i, step := range steps {
			if i > 0 {
				c.Replace(t.Context(), old, "")
			}
			tok, err := c.Token(t.Context())
			if err != nil || tok.Reveal() != step.value {
				t.Fatalf("step %d: %v, %v", i, tok, err)
			}
			want := strings.NewReplacer("FP", tok.Fingerprint(), "OLD", old.Fingerprint()).Replace(step.want)
			if !strings.Contains(log.String(), want) || step.lacks != "" && strings.Contains(log.String(), step.lacks) {
				t.Errorf("step %d: the log is\n%swant\n%s\nwithout %q", i, log.String(), want, step.lacks)
			}
			log.Reset()
			old = tok
		}
	})
}
