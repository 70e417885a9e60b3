package gate

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectionThatWasTakenOverIsNotTheServersAnyMore holds of one that was upgraded:
// its handler is waited for, and nothing else closes it.
func TestConnectionThatWasTakenOverIsNotTheServersAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, last := range []http.ConnState{http.StateHijacked, http.StateClosed} {
			var v visits
			ours, theirs := net.Pipe()
			speaks((&http.Request{ProtoMajor: 1}).WithContext(v.open(t.Context(), theirs)))
			v.note(theirs, http.StateNew)
			if !v.closeResting(time.Now()) {
				t.Error("one that has said nothing yet is not waited for")
			}
			v.note(theirs, http.StateActive)
			if time.Sleep(time.Hour); !v.closeResting(time.Now()) {
				t.Error("one that is busy is not waited for")
			}
			v.note(theirs, last)
			if v.closeResting(time.Now().Add(time.Hour)) {
				t.Errorf("%v: it is waited for", last)
			}
			v.note(theirs, http.StateIdle) // it is not known any more
			if ours.SetDeadline(time.Now().Add(time.Second)) != nil {
				t.Fatal("it was closed here")
			}
			if _, err := ours.Read(make([]byte, 1)); err == nil || err.Error() == "EOF" {
				t.Errorf("%v: it was closed: %v", last, err)
			}
			ours.Close()
			theirs.Close()
		}
	})
}
