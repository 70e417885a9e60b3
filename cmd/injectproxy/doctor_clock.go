package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// clocks compares this machine's clock with those of servers.
type clocks struct {
	mu    sync.Mutex
	ahead map[string]time.Duration // how far ours is, by server
}

// answerLimit is how long a server that is known to be there may take to say
// what time it is.
const answerLimit = 3 * time.Second

// ask notes the time of the server at conn. One that does not tell is no
// failure: some take HTTP/2 alone, or no such request.
func (c *clocks) ask(ctx context.Context, conn net.Conn, authority string) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+authority+"/", nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", "injectproxy-doctor")
	req.Close = true
	sent := time.Now()
	if req.Write(conn) != nil {
		return
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil || res.Header.Get("Age") != "" { // of a cache, so it may be old
		return
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead == nil {
		c.ahead = map[string]time.Duration{}
	}
	// Whole seconds are told; the answer is of half the way back.
	c.ahead[authority] = sent.Add(time.Since(sent) / 2).Sub(date.Add(500 * time.Millisecond))
}

// examine goes by the server that agrees best with this machine: that all of
// them are wrong by the same is less likely than that one is.
func (c *clocks) examine() []finding {
	best, by := "", time.Duration(0)
	for server, ahead := range c.ahead {
		if best == "" || ahead.Abs() < by.Abs() || ahead.Abs() == by.Abs() && server < best {
			best, by = server, ahead
		}
	}
	f := finding{"clock", stateOK, "this machine", "agrees with " + best, ""}
	switch {
	case best == "":
		return nil
	case by > time.Minute:
		f.Status, f.Detail = stateFail, fmt.Sprintf("is %s ahead of %s", by.Round(time.Second), best)
	case by < -time.Minute:
		f.Status, f.Detail = stateFail, fmt.Sprintf("is %s behind %s", (-by).Round(time.Second), best)
	}
	if f.Status == stateFail {
		f.Remedy = setClock(runtime.GOOS)
	}
	return []finding{f}
}

func setClock(goos string) string {
	switch goos {
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	case "windows":
		return "w32tm /resync"
	}
	return "sudo timedatectl set-ntp true"
}
