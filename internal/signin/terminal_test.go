package signin

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNotificationOfATerminalIsOneSequence(t *testing.T) {
	for name, tt := range map[string]struct{ message, want string }{
		"a command":             {"gateway needs a sign-in: az login --scope api://x/.default", "gateway needs a sign-in: az login --scope api://x/.default"},
		"end and another":       {"x\a\x1b]52;c;ZXZpbA==\a", "x ]52;c;ZXZpbA=="},
		"end by ST":             {"x\x1b\\\x1b[2Jy", `x \ [2Jy`},
		"C1 controls":           {"x\u009c\u009b2Jy", "x 2Jy"},
		"C1 controls, raw":      {"x\x9c\x9b2Jy", "x 2Jy"},
		"lines":                 {"\nx\r\ny\u2028z\x00", "x y z"},
		"reordered":             {"x\u202ecod\u2066e\u200b\ufeff", "x cod e"},
		"not UTF-8":             {"x\xff\xc3(", "x ("},
		"letters of the world":  {"Öffnen: デバイス", "Öffnen: デバイス"},
		"a command of ConEmu's": {"9;7;calc.exe", "9;7;calc.exe"}, // not at the beginning
		"long":                  {strings.Repeat("ö", 10_000), strings.Repeat("ö", maxText-len("Sign-in needed: ")) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			want := "\x1b]9;injectproxy: Sign-in needed: " + tt.want + "\a"
			if got := osc9("Sign-in needed", tt.message); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func FuzzNotificationOfATerminalIsOneSequence(f *testing.F) {
	for _, s := range []string{"az login --scope S", "\x1b]9;7;x\a", "\u009b2J\x9c", "9;4;1;50", "\xff\u202e\u2029"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, title, message string) {
		got := osc9(title, message)
		inner, begins := strings.CutPrefix(got, "\x1b]9;injectproxy: ")
		inner, ends := strings.CutSuffix(inner, "\a")
		if !begins || !ends || !utf8.ValidString(inner) || utf8.RuneCountInString(inner) > maxText+1 {
			t.Fatalf("%q", got)
		}
		for _, r := range inner {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if again := clean(inner); again != strings.TrimSpace(inner) && !strings.HasSuffix(inner, "…") {
			t.Errorf("%q cleaned again is %q", inner, again)
		}
	})
}

func TestWhatIsNoTerminalGetsNoSequences(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if Terminal(w) != nil || Terminal(&bytes.Buffer{}) != nil || Terminal(nil) != nil {
		t.Error("it would be taken for a terminal")
	}
}
