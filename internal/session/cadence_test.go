package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

func TestResetComesOnItsCadenceAndNotMoreOftenIfItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, book := new(memoryServer), NewBook()
		defer book.Close()
		rt := New(srv, Options{Book: book, Hard: time.Hour, Cooldown: time.Second, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)})
		_, id := exchangeOf(t, rt, "", aBeginning)
		initializes := 1
		after := func(d time.Duration, more int) {
			t.Helper()
			time.Sleep(d)
			for range 3 {
				if status, got := exchangeOf(t, rt, id, aCall); status != 200 || got != id {
					t.Errorf("status %d in %s", status, got)
				}
			}
			synctest.Wait() // the former session is ended beside
			if initializes += more; srv.initializes != initializes {
				t.Errorf("%d initialize, want %d", srv.initializes, initializes)
			}
		}
		after(time.Hour-1, 0)
		after(1, 1)
		after(time.Hour-1, 0)
		srv.broken = true
		after(1, 1)
		after(time.Hour-1, 0)
		srv.broken = false
		after(1, 1)
	})
}
