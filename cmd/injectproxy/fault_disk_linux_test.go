package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of so many pages of 4 KiB.
func smallDisk(t testing.TB, pages int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=700", 4*pages)); err != nil {
		absent(t, "mounting a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill leaves so many pages of the disk at dir free, until restored is called.
func fill(t testing.TB, dir string, free int) (restore func()) {
	t.Helper()
	var s syscall.Statfs_t
	must(t, syscall.Statfs(dir, &s))
	name := filepath.Join(dir, "ballast")
	must(t, os.WriteFile(name, make([]byte, (int64(s.Bfree)-int64(free))*int64(s.Bsize)), 0o600))
	return func() { must(t, os.Remove(name)) }
}

// Wherever the disk is full when serve starts for the first time, serve works
// or says what it could not write, and leaves nothing that keeps it from working
// once there is room.
func TestFirstStartOnAFullDiskLeavesNoHalfOfAnything(t *testing.T) {
	thorough(t)
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := smallDisk(t, 512)
	s := exchangeConfig(t, o, "", "")
	for free := range 8 {
		s.write(t, home)
		restore := fill(t, home, free)
		d := spawn(t, home, command(t, t.Context(), home, nil, "serve"))
		if line := d.log.waitAny(t, "msg=listening", "msg=exited"); strings.Contains(line, "msg=exited") {
			if d.stopped() != exitFailed || lineWith(d.log.String(), "error: ", "no space left on device") == "" {
				t.Errorf("%d pages free: exit status %d:\n%s", free, d.status, d.log)
			}
		} else {
			d.signal(syscall.SIGTERM)
			d.stopped()
		}
		restore()
		d = startDaemon(t, home, nil)
		call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
		d.signal(syscall.SIGTERM)
		if d.stopped() != 0 {
			t.Errorf("%d pages were free: exit status %d:\n%s", free, d.status, d.log)
		}
		for _, name := range []string{"ca", "credential"} {
			must(t, os.RemoveAll(filepath.Join(home, name)))
		}
	}
}

// What cannot be logged is lost, and that is all.
func TestLogOnAFullDiskStopsNothing(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	listen := "127.0.0.1:" + freePort(t)
	exchangeConfig(t, o, fmt.Sprintf("listen = %q", listen), "[log]\nlevel = \"debug\"\n").write(t, home)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	cmd := command(t, t.Context(), home, nil, "serve")
	cmd.Stdout, cmd.Stderr = full, full
	must(t, cmd.Start())
	d := &daemon{t: t, home: home, addr: listen, log: new(eventLog), cmd: cmd, exited: make(chan struct{})}
	go func() {
		cmd.Wait()
		d.status = cmd.ProcessState.ExitCode()
		close(d.exited)
	}()
	t.Cleanup(func() { cmd.Process.Kill(); <-d.exited })
	d.untilAccepted()
	for range 20 {
		call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	}
	d.signal(syscall.SIGHUP)
	d.signal(syscall.SIGTERM)
	if d.stopped() != 0 {
		t.Errorf("exit status %d", d.status)
	}
}

// untilAccepted returns once d takes connections, without its log.
func (d *daemon) untilAccepted() {
	d.t.Helper()
	until(d.t, "serve accepts connections", func() bool {
		c, err := net.Dial("tcp", d.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
