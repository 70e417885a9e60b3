package jsonrpc

import (
	"fmt"
	"strings"
	"testing"
)

func TestElementsAreThoseOfTheArray(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`[]`: "", ` [ ] `: "", `[1,-2e3 ,true,null ]`: "1|-2e3|true|null", "\t[ {\"a\":[1,\"]\"]} ,\r\n[[],{}],\"\\\\\\\"\" , \"\"]": `{"a":[1,"]"]}|[[],{}]|"\\\""|""`,
		`{}`: "error", `1`: "error", ``: "error", ` `: "error", `[1,]`: "error", `[1,2,3,4,5]`: "error", `"[1]"`: "error", `[1]x`: "error",
	} {
		all, err := Elements([]byte(in), 4)
		got := "error"
		if err == nil {
			var texts []string
			for _, e := range all {
				texts = append(texts, string(e))
			}
			got = strings.Join(texts, "|")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// objectOf returns one of n members.
func objectOf(n int) string {
	var b strings.Builder
	b.WriteString(`{"first":{}`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	return b.String() + "}"
}

// TestLargeMessageTakesLittleMoreThanItsText is not parallel: it counts what is
// allocated.
func TestLargeMessageTakesLittleMoreThanItsText(t *testing.T) {
	members, list := []byte(objectOf(100_000)), []byte("["+strings.Repeat("1,", 200_000)+"1]")
	n := testing.AllocsPerRun(1, func() {
		if _, err := Object(members); err == nil {
			t.Error("an object of 100000 members was read")
		}
		if _, err := Elements(list, 1000); err == nil {
			t.Error("an array of 200000 elements was read")
		}
	})
	if n > 5_000 {
		t.Errorf("%v allocations", n)
	}
	all, err := Object([]byte(objectOf(mostMembers)))
	if err != nil || len(all) != mostMembers {
		t.Errorf("%d members, %v", len(all), err)
	}
}

// TestValuesDoNotChangeWithTheText holds that the caller may use its text again.
func TestValuesDoNotChangeWithTheText(t *testing.T) {
	t.Parallel()
	b := []byte(`{"a":"x"}`)
	all, err := Object(b)
	clear(b)
	if err != nil || string(all["a"]) != `"x"` {
		t.Errorf("%q, %v", all, err)
	}
}
