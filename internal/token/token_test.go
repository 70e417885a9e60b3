package token

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
)

const canary = "canary/8f2b+c41d=e6"

// wantNoCanary fails the test if out holds the canary in a form that could be
// turned back.
func wantNoCanary(t *testing.T, where, out string) {
	t.Helper()
	for _, form := range []string{
		canary, url.QueryEscape(canary), hex.EncodeToString([]byte(canary)), fmt.Sprintf("% x", canary),
		base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			t.Errorf("%s shows the token: %s", where, out)
		}
	}
}

// holder has what a careless log line prints: tokens in fields of all kinds.
type holder struct {
	Exported Token
	hidden   Token
	list     []Token
	byName   map[string]Token
	any      any
	pointer  *Token
}

func holding(tok Token) holder {
	return holder{tok, tok, []Token{tok}, map[string]Token{"t": tok}, tok, &tok}
}

func TestNoVerbPrintsAToken(t *testing.T) {
	tok := mint(t, canary, time.Now())
	h := holding(tok)
	e := newEntry(tok, 1, moment{})
	operands := map[string]any{
		"token": tok, "pointer": &tok, "slice": []Token{tok}, "map": map[Token]Token{tok: tok},
		"struct": h, "pointer to struct": &h, "ask": Ask{Rejected: tok}, "use": &Use{Token: tok},
		"entry": e, "query": replaceQuery(tok, "").ask, "answer": answer{token: tok},
	}
	for name, operand := range operands {
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "% ", "-", "0", "80.3", "+#"} {
				format := "%" + strings.TrimPrefix(flags, "%") + string(verb)
				wantNoCanary(t, name+" with "+format, fmt.Sprintf(format, operand))
			}
		}
		wantNoCanary(t, name+" in an error", fmt.Errorf("%w: %v", errors.ErrUnsupported, operand).Error())
		wantNoCanary(t, name+" in Print", fmt.Sprint(operand))
	}
	if got, want := fmt.Sprintf("%v %s %#v %x ", tok, tok, tok, tok), strings.Repeat("token:"+tok.Fingerprint()+" ", 4); got != want {
		t.Errorf("a token prints as %s, want %s", got, want)
	}
}

func TestNoEncodingHoldsAToken(t *testing.T) {
	tok := mint(t, canary, time.Now())
	exported := struct {
		T Token
		M map[string]Token
		K map[Token]int
	}{tok, map[string]Token{"t": tok}, map[Token]int{tok: 1}}
	out, err := json.Marshal(exported)
	if err != nil || !strings.Contains(string(out), tok.String()) {
		t.Errorf("JSON is %s, %v; want the fingerprint", out, err)
	}
	wantNoCanary(t, "JSON", string(out))
	out, err = xml.Marshal(tok)
	if err != nil {
		t.Error(err)
	}
	wantNoCanary(t, "XML", string(out))
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(tok); err == nil {
		t.Error("gob encodes a token")
	}
	wantNoCanary(t, "gob", b.String())
}

func TestNoLogHoldsAToken(t *testing.T) {
	tok := mint(t, canary, time.Now())
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(handler(&b))
		log.With("with", tok).Info("m", "token", tok, "pointer", &tok, "holder", holding(tok), "ask", Ask{Rejected: tok},
			slog.Group("g", "token", tok), "error", fmt.Errorf("no %v", tok))
		wantNoCanary(t, name, b.String())
		if !strings.Contains(b.String(), tok.Fingerprint()) {
			t.Errorf("%s log lacks the fingerprint: %s", name, b.String())
		}
	}
}

func TestNoErrorHoldsTheValueItRefuses(t *testing.T) {
	_, err := New(canary+"\x00", "env", time.Time{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%q", "%s"} {
		wantNoCanary(t, verb, fmt.Sprintf(verb, err))
		wantNoCanary(t, verb, fmt.Sprintf(verb, fmt.Errorf("wrapped: %w", err)))
	}
}

func TestNewRefusesWhatNoHeaderMayCarry(t *testing.T) {
	for name, tt := range map[string]struct {
		value, want string // want "": refused
	}{
		"plain":                  {"abc.DEF-123_~+/=", "abc.DEF-123_~+/="},
		"all visible ASCII":      {"!\"#$%&'()*,:;<>?@[]^`{|}", "!\"#$%&'()*,:;<>?@[]^`{|}"},
		"trailing LF":            {"abc\n", "abc"},
		"trailing CRLF":          {"abc\r\n", "abc"},
		"empty":                  {"", ""},
		"only a newline":         {"\n", ""},
		"only CRLF":              {"\r\n", ""},
		"two trailing newlines":  {"abc\n\n", ""},
		"trailing CR":            {"abc\r", ""},
		"trailing CR CRLF":       {"abc\r\r\n", ""},
		"leading newline":        {"\nabc", ""},
		"CR inside":              {"a\rb", ""},
		"LF inside":              {"a\nb", ""},
		"header after CRLF":      {"a\r\nX-Evil: 1", ""},
		"NUL":                    {"a\x00b", ""},
		"trailing NUL":           {"abc\x00", ""},
		"DEL":                    {"a\x7fb", ""},
		"space inside":           {"a b", ""},
		"trailing space":         {"abc ", ""},
		"leading space":          {" abc", ""},
		"tab":                    {"a\tb", ""},
		"non-ASCII letter":       {"abcé", ""},
		"no-break space":         {"a\u00a0b", ""},
		"invalid UTF-8":          {"a\xffb", ""},
		"LF by overlong UTF-8":   {"a\xc0\x8ab", ""},
		"LF after narrowing":     {"a\u010ab", ""},
		"byte order mark before": {"\ufeffabc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := New(tt.value, "env", time.Time{})
			if got.Reveal() != tt.want {
				t.Errorf("New(%q) = %q, want %q", tt.value, got.Reveal(), tt.want)
			}
			var e *Error
			if refused := errors.As(err, &e) && e.Class == Misconfigured && e.Source == "env"; refused != (tt.want == "") {
				t.Errorf("New(%q): %v", tt.value, err)
			}
			if got.IsZero() != (tt.want == "") {
				t.Errorf("New(%q).IsZero() = %v", tt.value, got.IsZero())
			}
		})
	}
}

func TestTokensAreComparedByValue(t *testing.T) {
	now := time.Now()
	a, err := New("abc", "env", now)
	if err != nil {
		t.Fatal(err)
	}
	same := mint(t, strings.Clone("abc"), now.Add(time.Hour))
	for _, tt := range []struct {
		t, u Token
		want bool
	}{
		{a, a, true}, {a, same, true}, {a, mint(t, "abd", now), false}, {a, mint(t, "ab", now), false},
		{a, Token{}, false}, {Token{}, a, false}, {Token{}, Token{}, true},
	} {
		if got := tt.t.Equal(tt.u); got != tt.want {
			t.Errorf("%q.Equal(%q) = %v", tt.t.Reveal(), tt.u.Reveal(), got)
		}
	}
	if a.Source() != "env" || !a.Expiry().Equal(now) || a.Fingerprint() != "ba7816bf" {
		t.Errorf("source %q, expiry %v, fingerprint %s", a.Source(), a.Expiry(), a.Fingerprint())
	}
}

func TestZeroTokenIsNone(t *testing.T) {
	var z Token
	if !z.IsZero() || z.Reveal() != "" || z.Fingerprint() != "" || z.String() != "token:" || !z.Expiry().IsZero() {
		t.Errorf("the zero token is %v, fingerprint %q, expiry %v", z, z.Fingerprint(), z.Expiry())
	}
}

func TestErrorSaysWhoAndWhatInOneLine(t *testing.T) {
	for want, e := range map[string]*Error{
		"az: AADSTS50076: a second factor is needed": {Class: SignIn, Source: "az", Code: "AADSTS50076", Message: "a second factor is needed", Hint: "az login"},
		"az: unavailable": {Class: Transient, Source: "az"},
		"unknown":         {},
		"class 99":        {Class: 99},
		"class -1":        {Class: -1},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for class := Unknown; class <= Declined; class++ {
		if s := class.String(); s == "" || strings.HasPrefix(s, "class") {
			t.Errorf("class %d has no name", class)
		}
	}
	cause := errors.New("cause")
	if !errors.Is(&Error{Err: cause}, cause) {
		t.Error("the cause cannot be found")
	}
}

func TestUseIsFoundInTheContextThatCarriesIt(t *testing.T) {
	if UseFrom(t.Context()) != nil {
		t.Error("a Use in a context that carries none")
	}
	u := &Use{Token: mint(t, "abc", time.Time{})}
	ctx := WithUse(t.Context(), u)
	UseFrom(ctx).Attempts++
	if UseFrom(ctx) != u || u.Attempts != 1 {
		t.Errorf("the context carries %+v, want %+v", UseFrom(ctx), u)
	}
}
