package stdio

import (
	"fmt"
	"testing"
	"testing/synctest"
)

func noticed(n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"injectproxy","data":"sign-in: \u003c%d\u003e"}}`, n)
}

func TestNoticesAreKeptUntilTheClientTakesThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := bridged(t, &fake{}, Options{})
		notify := func(n int) { c.b.Notify("sign-in", fmt.Sprintf("<%d>", n)) }
		for n := range 10 {
			notify(n)
		}
		c.say(begin)
		c.hears(begun)
		synctest.Wait()
		c.say(saidBegun)
		for n := 2; n < 10; n++ { // the last 8
			c.hears(noticed(n))
		}
		notify(10)
		c.hears(noticed(10))
		for n := range 100 { // while the client reads nothing
			notify(n)
		}
		synctest.Wait()
		for n := 100; n < 120; n++ {
			notify(n)
		}
		for n := 0; n < 119; { // one was on its way, of the others the last 8
			var got int
			if _, err := fmt.Sscanf(c.hear(), `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"injectproxy","data":"sign-in: \u003c%d\u003e"}}`, &got); err != nil || got < n {
				t.Fatalf("%d after %d: %v", got, n, err)
			}
			n = got
		}
	})
}

func TestClientWithoutInitializeIsNotNotified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := bridged(t, &fake{}, Options{})
		c.say(ask("1", "m"))
		c.hears(did("1", "m"))
		c.b.Notify("a", "b")
		if rest, err := c.end(); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	})
}
