package token

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAudienceIsReadFromTheClaims(t *testing.T) {
	for payload, want := range map[string][]string{
		`{"aud":"api://a"}`:     {"api://a"},
		`{"aud":["a","b"]}`:     {"a", "b"},
		`{"aud":["a",1,"b"]}`:   {"a", "b"},
		`{"aud":"a\u202eb"}`:    {"a?b"},
		`{"AUD":"a"}`:           nil,
		`{"aud":{"a":"b"}}`:     nil,
		`{"aud":""}`:            nil,
		`{"aud":"a","aud":"b"}`: nil,
		`{}`:                    nil,
		`{"aud":[` + strings.Repeat(`"a",`, maxAudiences) + `"a"]}`: nil,
	} {
		token, err := New(jwt(payload), "test", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got := token.Audience(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
	opaque, _ := New("opaque", "test", time.Time{})
	if got := append(opaque.Audience(), Token{}.Audience()...); got != nil {
		t.Errorf("no JWT: %q", got)
	}
}
