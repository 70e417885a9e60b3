package token

// Held returns the live token that the Cache has, the zero Token if it has
// none, and what the latest acquisition met that failed and is remembered. It
// asks no source and starts nothing.
func (c *Cache) Held() (t Token, trouble error) {
	now := c.clock.now()
	if e := c.current.Load(); e.live(now) {
		t = e.token
	}
	if failures := c.failures.live(now); len(failures) > 0 {
		trouble = failures[len(failures)-1].err
	}
	return t, trouble
}
