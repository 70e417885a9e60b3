package eventstream

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// said is what an event says, in a form that can be kept.
func said(e Event) string {
	var b strings.Builder
	if e.Name != nil {
		fmt.Fprintf(&b, "event=%s ", e.Name)
	}
	if e.HasID {
		fmt.Fprintf(&b, "id=%q ", e.ID)
	}
	if e.HasRetry {
		fmt.Fprintf(&b, "retry=%v ", e.Retry)
	}
	if e.Data != nil {
		fmt.Fprintf(&b, "data=%q", e.Data)
	}
	if e.Part {
		b.WriteString("part")
	}
	return strings.TrimSpace(b.String())
}

// split writes stream in pieces of n bytes and returns what was emitted.
func split(p *Splitter, stream string, n int) (raws, says []string) {
	for b := range slices.Chunk([]byte(stream), n) {
		p.Write(b, func(raw []byte, e Event) {
			raws, says = append(raws, string(raw)), append(says, said(e))
		})
		clear(b) // nobody may have kept it
	}
	return raws, says
}

func TestEventsAreCutWhereTheStandardSays(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{
		"data: a\n\ndata:b\n\n":                    `data="a"|data="b"`,
		"data: a\r\n\r\n":                          `data="a"`,
		"data: a\r\r":                              `data="a"`,
		"data: a\r\n\n":                            `data="a"`,
		"event: message\nid: 7\ndata: {}\n\n":      `event=message id="7" data="{}"`,
		"data: a\ndata\ndata:  b\n\n":              `data="a\n\n b"`,
		"data\n\n":                                 `data=""`,
		"id: 1\ndata: \n\n":                        `id="1" data=""`,
		"id\n\n":                                   `id=""`,
		"id: a\x00b\n\n":                           ``,
		"id: 1\nid: 2\n\n":                         `id="2"`,
		"retry: 1500\n\n":                          `retry=1.5s`,
		"retry: 0\n\n":                             `retry=0s`,
		"retry: -1\n\nretry: +1\n\nretry: 1_0\n\n": `||`,
		"retry: 99999999999999\n\n":                ``,
		": hello\ndata: a\n\n":                     `|data="a"`,
		"data: a\n: hello\ndata: b\n\n":            `data="a\nb"`,
		"\n\n\ndata: a\n\n":                        `|||data="a"`,
		"\xef\xbb\xbfdata: a\n\n":                  `data="a"`,
		"\xef\xbb\xbf:\ndata: \xef\xbb\xbf\n\n":    `|data="\ufeff"`,
		"data : a\nDATA: a\n  data: b\n\n":         ``,
		"data: a\n":                                ``,
		"data: a\n\nid: 5\ndata: b":                `data="a"`,
	} {
		if _, says := split(new(Splitter), stream, len(stream)); strings.Join(says, "|") != want {
			t.Errorf("%q: got %q, want %q", stream, says, want)
		}
	}
}

func TestEventIsEmittedWithTheByteThatCompletesIt(t *testing.T) {
	t.Parallel()
	for _, eol := range []string{"\n", "\r", "\r\n"} {
		whole := strings.ReplaceAll("id: 1\ndata: a\n\n", "\n", eol)
		needed := strings.TrimSuffix(whole, "\n")
		if eol == "\n" {
			needed = whole
		}
		var p Splitter
		raws, says := split(&p, needed, 1)
		if len(raws) != 1 || raws[0] != needed || says[0] != `id="1" data="a"` {
			t.Errorf("%q: %q %q", eol, raws, says)
		}
		raws, says = split(&p, strings.TrimPrefix(whole, needed)+whole+eol, 1)
		if strings.Join(raws, "") != strings.TrimPrefix(whole, needed)+whole+eol || !slices.Contains(says, `id="1" data="a"`) {
			t.Errorf("%q, then: %q %q", eol, raws, says)
		}
	}
}

func TestCommentBetweenEventsIsEmittedAtOnce(t *testing.T) {
	t.Parallel()
	var p Splitter
	if raws, _ := split(&p, ": ping\n", 3); len(raws) != 1 || raws[0] != ": ping\n" {
		t.Errorf("between events: %q", raws)
	}
	if raws, _ := split(&p, "data: a\n: ping\n", 3); raws != nil {
		t.Errorf("within an event: %q", raws)
	}
	if raws, _ := split(&p, "\n", 3); len(raws) != 1 || raws[0] != "data: a\n: ping\n\n" {
		t.Errorf("the event: %q", raws)
	}
}

func TestEventAboveTheLimitPassesInPiecesAndTheNextIsWholeAgain(t *testing.T) {
	t.Parallel()
	large := "id: 9\nretry: 10\ndata: " + strings.Repeat("x", 300) + "\r\n: no comment here\r\ndata: y\r\n\r\n"
	for n := 1; n < len(large); n++ {
		p := Splitter{Limit: 64}
		raws, says := split(&p, "data: a\n\n"+large[:len(large)-4], n)
		if !p.Cut() {
			t.Fatalf("chunks of %d: the stream may be cut here", n)
		}
		more, says2 := split(&p, large[len(large)-4:]+"data: b\n\n", n)
		raws, says = append(raws, more...), append(says, says2...)
		if got := strings.Join(raws, ""); got != "data: a\n\n"+large+"data: b\n\n" {
			t.Fatalf("chunks of %d: %q", n, got)
		}
		says = slices.DeleteFunc(says, func(s string) bool { return s == "part" || s == "" })
		if got := strings.Join(says, "|"); got != `data="a"|id="9" retry=10ms|data="b"` {
			t.Fatalf("chunks of %d: %q", n, got)
		}
		if p.Cut() || p.tail != nil && cap(p.tail) > mostSpare {
			t.Fatalf("chunks of %d: something is left", n)
		}
	}
}

// TestManyLinesOfDataCostWhatTheyWeigh holds that an event of a million lines
// is not copied for each line, nor for each piece in which it comes: it would
// take minutes.
func TestManyLinesOfDataCostWhatTheyWeigh(t *testing.T) {
	t.Parallel()
	stream := strings.Repeat("data:\n", 1<<20) + "\n"
	begin := time.Now()
	var data int
	var p Splitter
	for b := range slices.Chunk([]byte(stream), 64) {
		p.Write(b, func(_ []byte, e Event) { data += len(e.Data) })
	}
	if data != 1<<20-1 {
		t.Errorf("%d bytes of data", data)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	if cap(p.tail) > mostSpare {
		t.Errorf("a buffer of %d is kept", cap(p.tail))
	}
}

func TestSplittingWholeEventsAllocatesNothing(t *testing.T) {
	var p Splitter
	b := []byte(strings.Repeat("event: message\nid: 1\ndata: {\"jsonrpc\":\"2.0\"}\n\n", 20))
	seen := 0
	allocs := testing.AllocsPerRun(100, func() {
		p.Write(b, func(_ []byte, e Event) { seen += len(e.Data) })
	})
	if allocs > 0 || seen == 0 {
		t.Errorf("%v allocations for 20 events", allocs)
	}
}

// FuzzEvents holds that the pieces in which a stream comes change nothing, that
// nothing is lost or made up, and that what is emitted ends with an event.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		"data: a\n\ndata: b\n\n", "data: a\r\n\r\n\r\n", "data: a\r\r\n\rdata", "\xef\xbb\xbfid: 1\ndata\n\n", "\xef\xbb",
		": ping\n\nid: 1\nretry: 5\ndata: a\ndata: b\n\nevent: x\n", strings.Repeat("data: long\r\n", 20) + "\r\n:\r\n",
	} {
		f.Add([]byte(stream), uint16(3), uint8(0))
		f.Add([]byte(stream), uint16(1), uint8(16))
	}
	f.Fuzz(func(t *testing.T, stream []byte, n uint16, limit uint8) {
		if limit > 0 && limit < 8 {
			limit = 8
		}
		whole, pieces := Splitter{Limit: int(limit)}, Splitter{Limit: int(limit)}
		raws, says := split(&whole, string(stream), len(stream)+1)
		raws2, says2 := split(&pieces, string(stream), int(n%1000)+1)
		input := stream
		if whole.begun {
			input = bytes.TrimPrefix(stream, byteOrderMark)
		}
		for _, r := range []struct {
			raws []string
			p    *Splitter
		}{{raws, &whole}, {raws2, &pieces}} {
			if got := strings.Join(r.raws, "") + string(r.p.tail); got != string(input) {
				t.Fatalf("got %q, want %q", got, input)
			}
			if out := strings.Join(r.raws, ""); out != "" && !r.p.Cut() && !strings.HasSuffix(out, "\n") && !strings.HasSuffix(out, "\r") {
				t.Fatalf("ends within a line: %q", out)
			}
		}
		if limit > 0 {
			return // what is held of a large event differs
		}
		if a, b := dispatched(says), dispatched(says2); !slices.Equal(a, b) {
			t.Fatalf("at once %q, in pieces %q", a, b)
		}
	})
}

func dispatched(says []string) []string {
	return slices.DeleteFunc(says, func(s string) bool { return s == "" })
}
