package gate

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSessionInAQueryIsReadAsServersDo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", mostSessionID)
	for query, want := range map[string]string{
		"": "", "sessionId": "", "sessionId=": "", "session=a": "", "sessionId=a": "a", "session-id=a": "a", "SESSION_ID=a": "a", "+sessionId=a": "a",
		"sessionId=a%2Fb+c": "a/b c", "sessionId=%zz": "%zz", "sessionId=a&session_id=a": "a", "sessionId=a&sessionId=": "a", "sessionId=" + long: long,
		"sessionId=a&session_id=b": "-", "sessionId=x" + long: "-",
	} {
		id, ok := queryID(query)
		if ok != (want != "-") || ok && id != want {
			t.Errorf("%.40q: %.40q, %v", query, id, ok)
		}
	}
	one, two, three := &url.URL{Path: "/a", RawQuery: "x"}, &url.URL{Path: "/b", RawQuery: "x"}, &url.URL{Path: "/a", RawQuery: "y"}
	if endpointKey(one) == endpointKey(two) || endpointKey(one) == endpointKey(three) {
		t.Error("two endpoints have one key")
	}
}

// TestSessionIDOfAnotherKindOfServerIsItsOwn holds where nothing is decided: what
// is no message of MCP may have an id that the gate knows nothing of.
func TestSessionIDOfAnotherKindOfServerIsItsOwn(t *testing.T) {
	t.Parallel()
	url, _ := witness(t)
	f := stand(t, Options{}, url)
	for method, body := range map[string]string{"GET": "", "PUT": "text", "POST": "text"} {
		if res, said := f.do(t, f.request(t, method, "/x?sessionId=5", body)); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %s", method, res.Status, said)
		}
	}
}
