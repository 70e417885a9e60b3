package match_test

import (
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

func TestAuthorityHasOneForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for want, inputs := range map[string][]string{
		"api.example:443":           {"api.example", "api.example:443", "API.Example", "api.example.", "API.EXAMPLE.:443", "ａｐｉ.example", "api。example", "api.exam\u00adple"},
		"api.example:8443":          {"api.example:8443", "Api.example.:8443"},
		"api.example:65535":         {"api.example:65535"},
		"api.example:1":             {"api.example:1"},
		"localhost:443":             {"localhost", "LOCALHOST."},
		"xn--bcher-kva.example:443": {"bücher.example", "BÜCHER.example", "Bücher.Example.", "bu\u0308cher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example"},
		"xn--fa-hia.example:443":    {"faß.example"}, // not fass.example
		"xn--wgv71a.jp:443":         {"日本.jp", "日本。jp", "日本．jp．"},
		"my_host.corp.example:443":  {"my_host.corp.example"},
		"a--b.example:443":          {"a--b.example"},
		"1.2.3.4:443":               {"1.2.3.4", "1.2.3.4.", "１.2.3.4"},
		"127.0.0.1:8080":            {"127.0.0.1:8080"},
		"4.example:443":             {"4.example"},
		"1.2.3.4.example:443":       {"1.2.3.4.example"},
		"0xg.0xg:443":               {"0xg.0xg"},
		"[::1]:443":                 {"[::1]", "[::1]:443", "[0:0:0:0:0:0:0:1]", "[0000::0001]"},
		"[2001:db8::a]:8443":        {"[2001:DB8::A]:8443", "[2001:0db8:0:0::a]:8443"},
		"[::ffff:1.2.3.4]:443":      {"[::ffff:1.2.3.4]", "[::FFFF:102:304]"},
		long + ".example:443":       {long + ".example"},
	} {
		for _, in := range inputs {
			if got, err := match.Authority(in); err != nil || got != want {
				t.Errorf("Authority(%q) = %q, %v, want %q", in, got, err, want)
			}
		}
	}
}

func TestAuthorityRefusesJunk(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", ".", "..", ":443", ".:443", "api..example", ".api.example", "api.example..",
		"api.example:", "api.example:0", "api.example:65536", "api.example:0443", "api.example:00", "api.example:+443", "api.example:-1", "api.example:4 43",
		"api.example:443:443", "api.example:https", "api.example:0x1bb", "api.example:４４３", "api.example:99999999999999999999",
		"user@api.example", "user:pass@api.example:443", "@api.example", "api.example@", "api.example:443@evil.example",
		"api.example/", "api.example/x", `api.example\x`, "a/b?", "api.example?x", "api.example#x", "https://api.example", "//api.example",
		"api%2eexample", "api.example%00", "%61pi.example", "api.example%", "api example", " api.example", "api.example ", "api.example\n", "api\x00.example", "api.example\t:443",
		"api.example;x", "api,example", "(api.example)", "<api>", "api!example", "api\"example", "*", "*.example", "a*.example",
		"::1", "::1:443", "[::1", "[::1:443", "::1]", "[]", "[]:443", "[::1]x", "[::1]x:443", "[::1]:", "[::1]:0", "x[::1]", "[[::1]]", "[::1]]", "[::1]]:443", "[::g]", "[1:2:3]", "[127.0.0.1]", "[api.example]",
		"[fe80::1%eth0]", "[fe80::1%25eth0]", "[::1%]", "[v1.x]",
		"127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.0x4", "api.0x", "api.0", "api.example.1", "１２７.１",
		"api\xff.example", "\xc3(.example", "api.e\u202example", "℀.example", "a\u2048b.example", "xn--\u00fc.example", "\u200d.example", "ü*.example",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example", strings.Repeat("ü", 64) + ".example",
	} {
		if got, err := match.Authority(in); err == nil || got != "" {
			t.Errorf("Authority(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzAuthority(f *testing.F) {
	for _, seed := range []string{"api.example", "API.example.:443", "[::1]:8443", "bücher.example", "1.2.3.4", "a@b", "℀.example", "xn--a", "ａ.example:１"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := match.Authority(in)
		if err != nil {
			if got != "" {
				t.Fatalf("Authority(%q) = %q beside its error", in, got)
			}
			return
		}
		if again, err := match.Authority(got); err != nil || again != got {
			t.Fatalf("Authority(%q) = %q, but Authority of that = %q, %v", in, got, again, err)
		}
		if strings.ContainsAny(got, "/\\@?#%;*, \t\r\n\x00") || got != strings.ToLower(got) {
			t.Fatalf("Authority(%q) = %q", in, got)
		}
		p, err := match.ParsePrefix("https://" + in + "/v1")
		if err != nil || p.Authority() != got || !p.Covers(got, "/v1/x") {
			t.Fatalf("Authority(%q) = %q, but as a prefix it is %v, %v", in, got, p, err)
		}
	})
}
