//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wrapped hides az behind a script that starts it and waits, as installers do.
func (b *testbed) wrapped(az *scriptedAz) {
	b.t.Helper()
	bin := filepath.Join(b.dir, "bin")
	must(b.t, os.Mkdir(filepath.Join(bin, "real"), 0o700))
	must(b.t, os.Rename(filepath.Join(bin, "az"), filepath.Join(bin, "real", "az")))
	script := fmt.Sprintf("#!/bin/sh\n%q \"$@\" &\nwait\n", filepath.Join(bin, "real", "az"))
	must(b.t, os.WriteFile(filepath.Join(bin, "az"), []byte(script), 0o700))
}

func TestHangingAzBehindAWrapperIsGoneAfterTheTimeout(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: "[token]\ntimeout = \"2s\"\n" + azAudience + rule(o.url("/"))}, at(clock))
	az := b.az(a)
	b.wrapped(az)
	az.plays(func(*azRun) {}) // it says nothing and does not end
	c := b.client("h2")
	// On a busy machine the script may be killed before it has started az.
	for late := time.Now().Add(guard); len(az.all()) == 0 && time.Now().Before(late); clock.by.Add(int64(3 * time.Second)) {
		p := call(t, c, "GET", o.url("/x"), nil).problem(t, http.StatusServiceUnavailable)
		if !strings.Contains(p.Detail, "in time") && !strings.Contains(p.Detail, "within") {
			t.Errorf("%+v", p)
		}
	}
	hung := az.wait(1)
	for _, r := range hung {
		r.wantGone(t)
	}
	o.nothing(t)

	az.plays(nil)
	b.untilServed(c, o.url("/x"), func() { clock.by.Add(int64(3 * time.Second)) })
	// Another run has its turn only once the wrapper of the one before has been
	// waited for.
	for _, r := range hung {
		if err := syscall.Kill(r.Ppid, 0); r.Ppid != 1 && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the wrapper lives on: %v", err)
		}
	}
}

func TestClientThatLeavesEndsItsOwnWaitForAzOnly(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for _, words := range []string{"account", "login"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: autoLogin + azAudience + rule(o.url("/"))})
			az := b.az(a)
			release := make(chan struct{})
			if words == "login" {
				az.refuses(azSaid(t, "not-signed-in"))
			}
			az.plays(func(r *azRun) {
				if !r.is(words) || r.held(release) {
					az.usual(r)
				}
			})
			leaving, leave := context.WithCancel(t.Context())
			defer leave()
			left, c, req := make(chan error, 1), b.client("h1"), newGet(t, o.url("/left")).WithContext(leaving)
			go func() {
				_, err := trySend(c, req)
				left <- err
			}()
			az.wait(1, words)
			served := make(chan map[int]int, 1)
			sent, others := make(chan struct{}), []*http.Client{b.client("h2")}
			go func() {
				served <- crowd(t, others, 3, "POST", o.url("/x"), func() { close(sent) })
			}()
			<-sent
			leave()
			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Errorf("the client that left got %v", err)
			}
			b.log.wait(t, "msg=request", "path=/left")
			select {
			case <-az.all(words)[0].gone:
				t.Error("az ended when one client left")
			default:
			}
			close(release)
			only(t, <-served, http.StatusOK, 3)
			az.wantRuns(t, 1, words)
		})
	}
}
