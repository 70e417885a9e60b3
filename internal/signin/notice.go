package signin

import (
	"fmt"
	"runtime/debug"
)

// maxNotices is how many notifications may wait to be shown. More than a few
// nobody reads, but a device code must not be lost to the one before it.
const maxNotices = 8

type notice struct{ title, message string }

// remind tells that a sign-in is needed which the mode does not open, unless
// that was told just now.
func (c *Controller) remind(a Attempt) {
	now := c.o.Now()
	c.mu.Lock()
	_, told := c.told.crowded(a, now)
	if !told {
		c.told.add(a, now)
	}
	c.mu.Unlock()
	if told {
		return
	}
	c.o.Log.Warn("a sign-in is needed", "audience", a.Audience, "tenant", a.Tenant, "command", a.Command)
	c.notify("Sign-in needed", fmt.Sprintf("%s needs a sign-in: %s", a.Audience, a.Command))
}

// notify has a notification shown, after those that wait. It does not wait
// itself: showing one may take seconds.
func (c *Controller) notify(title, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Notify == nil || c.closed || len(c.notices) == maxNotices {
		return
	}
	c.notices = append(c.notices, notice{title, message})
	if !c.showing {
		c.showing = true
		c.running.Go(c.show)
	}
}

// show shows notifications until none waits.
func (c *Controller) show() {
	for {
		c.mu.Lock()
		if len(c.notices) == 0 {
			c.showing = false
			c.mu.Unlock()
			return
		}
		n := c.notices[0]
		c.notices = c.notices[1:]
		c.mu.Unlock()
		c.showOne(n)
	}
}

// showOne shows n. A notification is not worth a crash.
func (c *Controller) showOne(n notice) {
	defer func() {
		if p := recover(); p != nil {
			c.o.Log.Error("the notification panicked", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	c.o.Notify(n.title, n.message)
}
