package token

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// jwt returns a token with that payload.
func jwt(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestIdentityIsReadFromTheClaims(t *testing.T) {
	const ada, app = "ada@corp.example", "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	for name, tt := range map[string]struct {
		payload string
		want    Identity
	}{
		"v1 user":       {`{"tid":"t1","appid":"` + app + `","appidacr":"0","scp":"user_impersonation","upn":"` + ada + `","unique_name":"x","oid":"o","sub":"s"}`, Identity{ada, User, "t1"}},
		"v2 user":       {`{"tid":"t1","azp":"` + app + `","azpacr":"0","scp":"a b","preferred_username":"` + ada + `","email":"x","oid":"o","sub":"s"}`, Identity{ada, User, "t1"}},
		"guest":         {`{"tid":"t1","scp":"a","unique_name":"live.com#` + ada + `","email":"` + ada + `"}`, Identity{"live.com#" + ada, User, "t1"}},
		"by email":      {`{"scp":"a","email":"` + ada + `","appid":"` + app + `"}`, Identity{ada, User, ""}},
		"nameless user": {`{"scp":"a","appid":"` + app + `"}`, Identity{app, User, ""}},
		"user, by word": {`{"idtyp":"user","upn":"` + ada + `"}`, Identity{ada, User, ""}},
		"user with roles": {`{"scp":"a","roles":["Reader"],"upn":"` + ada + `"}`,
			Identity{ada, User, ""}},

		"v1 application":            {`{"tid":"t1","appid":"` + app + `","appidacr":"1","oid":"o","sub":"o"}`, Identity{app, Application, "t1"}},
		"v2 application":            {`{"tid":"t1","azp":"` + app + `","azpacr":"2","roles":["Reader"],"oid":"o","sub":"o"}`, Identity{app, Application, "t1"}},
		"application, by word":      {`{"idtyp":"app","oid":"o"}`, Identity{"o", Application, ""}},
		"application by sub alone":  {`{"oid":"o","sub":"o"}`, Identity{"o", Application, ""}},
		"application by roles":      {`{"oid":"o","roles":["Reader"]}`, Identity{"o", Application, ""}},
		"application by its secret": {`{"oid":"o","azpacr":"1"}`, Identity{"o", Application, ""}},
		"application with scp":      {`{"idtyp":"app","scp":"a","upn":"` + ada + `"}`, Identity{ada, Application, ""}},
		"application in capitals":   {`{"idtyp":"APP","scp":"a"}`, Identity{"", Application, ""}},
		"empty scp":                 {`{"scp":" ","appid":"` + app + `"}`, Identity{app, Application, ""}},
		"scp of another type":       {`{"scp":["a"],"appid":"` + app + `"}`, Identity{app, Application, ""}},
		"scp in capitals":           {`{"SCP":"a","appid":"` + app + `"}`, Identity{app, Application, ""}},

		"device":                {`{"idtyp":"device","scp":"a","oid":"o"}`, Identity{"o", "", ""}},
		"idtyp of another type": {`{"idtyp":["user"],"scp":"a","oid":"o"}`, Identity{"o", "", ""}},
		"says nothing":          {`{"iss":"https://vault.example","sub":"s","oid":"o"}`, Identity{"o", "", ""}},
		"empty":                 {`{}`, Identity{}},
		"empty oid and sub":     {`{"oid":"","sub":""}`, Identity{}},

		"names twice":       {`{"scp":"a","scp":"a","upn":"` + ada + `"}`, Identity{}},
		"name spelt twice":  {`{"idtyp":"app","\u0069dtyp":"user"}`, Identity{}},
		"no object":         {`["scp"]`, Identity{}},
		"null":              {`null`, Identity{}},
		"two objects":       {`{"idtyp":"app"}{"idtyp":"user"}`, Identity{}},
		"something after":   {`{"idtyp":"app"}]`, Identity{}},
		"does not end":      {`{"idtyp":"app"`, Identity{}},
		"is broken":         {`{"idtyp":app}`, Identity{}},
		"not even a name":   {`{1:2}`, Identity{}},
		"nothing":           {``, Identity{}},
		"deep":              {`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"idtyp":"app"}`, Identity{}},
		"claims of objects": {`{"upn":{"a":1},"tid":["t"],"oid":7,"scp":"a"}`, Identity{"", User, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mint(t, jwt(tt.payload), time.Time{}).Identity(); got != tt.want {
				t.Errorf("%s\ngot  %+v\nwant %+v", tt.payload, got, tt.want)
			}
		})
	}
}

func TestOpaqueTokenHasNoIdentity(t *testing.T) {
	app := jwt(`{"idtyp":"app"}`)
	parts := strings.Split(app, ".")
	for name, value := range map[string]string{
		"opaque": "abc", "two dots": "..", "two parts": parts[0] + "." + parts[1], "four parts": app + ".x",
		"encrypted": parts[0] + ".." + parts[1] + ".x.y", "not base64url": parts[0] + ".!!!." + parts[2],
		"padded":    parts[0] + "." + base64.URLEncoding.EncodeToString([]byte(`{"idtyp":"app"} `)) + "." + parts[2],
		"too large": app + strings.Repeat("x", maxIdentified),
	} {
		if got := mint(t, value, time.Time{}).Identity(); got != (Identity{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := (Token{}).Identity(); got != (Identity{}) {
		t.Errorf("no token: %+v", got)
	}
	if got := mint(t, app, time.Time{}).Identity(); got.Kind != Application {
		t.Errorf("what the cases above are made of has identity %+v", got)
	}
}

func TestIdentityIsFitForALog(t *testing.T) {
	for payload, want := range map[string]string{
		`{"upn":"a\nlevel=ERROR msg=\"forged\""}`:           `a?level=ERROR msg="forged"`,
		`{"upn":"\u001b]0;title\u0007"}`:                    "?]0;title?",
		`{"upn":"a\u202egpj.exe"}`:                          "a?gpj.exe",
		`{"upn":"  ada\u00a0 "}`:                            "ada",
		`{"upn":"zoë"}`:                                     "zoë",
		`{"upn":"\ud800"}`:                                  "\ufffd",
		`{"upn":"` + strings.Repeat("a", 127) + `ëë"}`:      strings.Repeat("a", 127) + "…",
		`{"upn":"` + strings.Repeat("a", maxClaim) + `"}`:   strings.Repeat("a", maxClaim),
		`{"upn":"` + strings.Repeat("a", maxClaim+1) + `"}`: strings.Repeat("a", maxClaim) + "…",
	} {
		if got := mint(t, jwt(payload), time.Time{}).Identity().Name; got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}

// FuzzIdentity holds that no token breaks the reader, that what it yields is fit
// for a log, and that a token which calls itself an application's is never taken
// for a user's.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{`{}`, `{"scp":"a","upn":"ada"}`, `{"idtyp":"app","scp":"a"}`, `{"a":1,"a":2}`, `{"upn":"\n\u202e"}`, "\xff", `{"a":[[[[`} {
		f.Add(seed, false)
	}
	f.Add(jwt(`{"oid":"o","sub":"o"}`), true)
	f.Add("a.b.c", true)
	f.Fuzz(func(t *testing.T, s string, whole bool) {
		value := s
		if !whole {
			value = jwt(s)
		}
		tok, err := New(value, "fuzz", time.Time{})
		if err != nil {
			return
		}
		id := tok.Identity()
		for _, field := range []string{id.Name, id.TenantID} {
			if len(field) > maxClaim+len("…") || !utf8.ValidString(field) || strings.ContainsFunc(field, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is not fit for a log", field)
			}
		}
		if id.Kind != "" && id.Kind != User && id.Kind != Application {
			t.Errorf("kind %q", id.Kind)
		}
		if body, ok := strings.CutPrefix(s, "{"); ok && !whole {
			if id := mint(t, jwt(`{"idtyp":"app",`+body), time.Time{}).Identity(); id.Kind == User {
				t.Errorf("an application's token is taken for a user's: %+v", id)
			}
		}
	})
}
