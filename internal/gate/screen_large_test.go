package gate

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestListIsFoundInWhatIsTooLargeToHold looks at it byte by byte, and at once, as
// JSON and as the lines of an event.
func TestListIsFoundInWhatIsTooLargeToHold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		listed: true, `{"id":1,"result":{"content":[{"a":1}],"tools":[]}}`: true, `{"result":{"a":{"b":[1,{"c":2}]},"prompts" : []}}`: true,
		`[{"id":1,"result":{}},{"id":2,"result":{"resources":[]}}]`: true, `{"result":{},"result":{"resourceTemplates":[]}}`: true,
		`{"re\u0073ult":{"t\u006fo\u006cs":[]}}`: true, `{"Result":{"Tools":[]}}`: true, `{"x":"\\","result":{"a":"\"}","tools":[]}}`: true,
		"{}\n{\"result\":{\"tools\":[]}}": true, "\xef\xbb\xbf{\"result\":{\"tools\":[]}}": true,

		`{"result":{"content":[{"type":"text","text":"\"tools\":["}],"structuredContent":{"tools":[1]}}}`: false,
		`{"params":{"tools":[]}}`: false, `{"result":["tools",{"tools":1}]}`: false, `{"result":{"x":"tools"},"tools":[]}`: false, `{"a":"result","b":{"tools":1}}`: false,
		`{"result":{"result":{"tools":[]}}}`: false, `{"a":{"result":{"tools":[]}}}`: false, `{"result":1,"x":{"tools":[]}}`: false, `{"result":{"xtools":1,"toolsx":2,"\ttools":3}}`: false,
		`[{"result":{}},{"x":{"tools":[]}}]`: false, `[[{"result":{"tools":[]}}]]`: false, `]]}}{"result":{"a":1}}`: false, `{"result":{"` + strings.Repeat("x", 1000) + `":1}}`: false, ``: false,
	} {
		event := "data: " + strings.ReplaceAll(in, ",", ",\ndata: ") + "\n"
		for _, text := range []string{in, event} {
			once, bytewise := watch{}, watch{}
			found := false
			for i := range len(text) {
				found = found || bytewise.in([]byte{text[i]})
			}
			if got := once.in([]byte(text)); got != want || found != want {
				t.Errorf("%.200s: %v at once, %v byte by byte, want %v", text, got, found, want)
			}
		}
	}
}

func TestLargeAnswerBreaksOffWhereAListAppears(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{`"tools":[{"name":"hidden"}]}}`, `"x":1}}`} {
		w := &watched{from: iotest.HalfReader(strings.NewReader(`{"result":{"a":"` + strings.Repeat("x", 1000) + `",` + tail))}
		got, err := io.ReadAll(w)
		if list := strings.Contains(tail, "tools"); list != errors.Is(err, hiddenLarge) || strings.Contains(string(got), "hidden") || !list && !strings.HasSuffix(string(got), tail) {
			t.Errorf("%s: %.50s, %v", tail, got, err)
		}
		if _, again := w.Read(make([]byte, 9)); !errors.Is(again, err) && err != nil {
			t.Errorf("then %v", again)
		}
	}
}

// TestLargeEventOfACallIsCutWhereAListAppears holds also where the list is in what
// completes the event, and that the next event is looked at by itself.
func TestLargeEventOfACallIsCutWhereAListAppears(t *testing.T) {
	t.Parallel()
	filler := `{"result":{"a":"` + strings.Repeat("x", 1000) + `"`
	for stream, list := range map[string]bool{
		"data: " + filler + ",\ndata: \"tools\":[{\"name\":\"hidden\"}]}}\n\n":                                     true,
		"data: " + filler + "}}\n\ndata: " + filler + "}}\n\ndata: 1\n\n":                                          false,
		"data: " + filler + "\n\ndata: {\"tools\":[],\"a\":\"" + strings.Repeat("x", 1000) + "\"}\n\n":             false,
		"data: {" + strings.Repeat(" ", 1000) + "\n\ndata: " + filler + ",\"tools\":[{\"name\":\"hidden\"}]}}\n\n": true,
	} {
		b := newScreened(io.NopCloser(iotest.HalfReader(strings.NewReader(stream))), hiding(false))
		b.cut.Limit = 100
		got, err := io.ReadAll(b)
		if errors.Is(err, hiddenLarge) != list || strings.Contains(string(got), "hidden") || !list && string(got) != stream {
			t.Errorf("%.30s…: %d of %d bytes, %v", stream, len(got), len(stream), err)
		}
	}
}
