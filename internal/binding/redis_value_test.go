package binding

import (
	"strings"
	"testing"
)

// FuzzBindingValue holds that what is read from Redis is a binding that could have
// been written there, and is written again as it was read.
func FuzzBindingValue(f *testing.F) {
	for _, v := range []string{
		"1\ntenant\nobject\nhttp://u", "1\n\n\nhttp://u", "1\n\neverybody\nhttp://u", "", "1", "2\nt\no\nhttp://u", "1\nt\no\n", "1\nt\no\nu\n", "1\r\nt\r\no\r\nu", "1\nt\no\nu v",
		"1\nt\no\n\xff", "\n\n\n", "01\nt\no\nu", " 1\nt\no\nu", "1\nt\n\x00\nu", "1\nt\no\nu\u2028", "1\nt\no\n" + strings.Repeat("u", mostValue),
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		b, err := bindingOf(value)
		if err != nil {
			if b != (Binding{}) {
				t.Errorf("%q is %v and %v", value, b, err)
			}
			return
		}
		if again, err := b.value(); err != nil || again != value || !b.Known() {
			t.Errorf("%q is %v, and that %q, %v", value, b, again, err)
		}
	})
}

func TestValueIsOfVisibleCharactersUpToABound(t *testing.T) {
	t.Parallel()
	const head = "1\nt\no\n"
	longest := head + strings.Repeat("~", mostValue-len(head))
	for value, good := range map[string]bool{longest: true, longest + "~": false, head + "!~": true, head + "\x7f": false, head + " ": false} {
		if b, err := bindingOf(value); (err == nil) != good || good && b.Upstream != value[len(head):] {
			t.Errorf("%.20q of %d bytes: %v", value, len(value), err)
		}
	}
}

func TestValueThatIsNoStringIsNobodys(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, int64(1), []any{"1\nt\no\nu"}, []byte("1\nt\no\nu")} {
		if b, err := bindingOf(v); err == nil {
			t.Errorf("%v is %v", v, b)
		}
	}
}
