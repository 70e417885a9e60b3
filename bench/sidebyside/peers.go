package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// A peer is a way that requests can go.
type peer struct {
	name   string
	about  string
	h1     bool // speaks HTTP/1.1 alone to its clients
	bearer bool // adds no token: the client sends it
	named  bool // mints no certificate for an address

	// installed says of what version it is, or why it cannot take part.
	installed func(*rig) (version string, ok bool)
	// start fills in the route of a peer that is a process.
	start func(context.Context, *rig, work) (route, error)
}

// A route is a peer that has been started.
type route struct {
	proxy   *url.URL // nil goes straight
	ca      string   // file with what its clients trust
	process *process // nil if it is none
}

func (r route) stop() {
	if r.process != nil {
		r.process.stop()
	}
}

// The names of the peers that others are compared with.
const (
	direct      = "direct"
	tunnel      = "tunnel"
	squid       = "squid"
	goproxy     = "goproxy"
	injectproxy = "injectproxy"
)

func peers() []peer {
	always := func(v string) func(*rig) (string, bool) { return func(*rig) (string, bool) { return v, true } }
	return []peer{
		{name: direct, about: "no proxy", bearer: true, installed: always("-"), start: startDirect},
		{name: tunnel, about: "tinyproxy, which copies bytes and sees none of them", bearer: true, installed: tinyproxyInstalled, start: startTinyproxy},
		{name: squid, about: "squid with ssl-bump and a header added", h1: true, named: true, installed: squidInstalled, start: startSquid},
		{name: goproxy, about: "goproxy's own interception, ECDSA, with a certificate cache", installed: always(moduleVersion("github.com/elazarl/goproxy")), start: startRival},
		{name: injectproxy, about: "this program", installed: injectproxyInstalled, start: startInjectproxy},
	}
}

func startDirect(_ context.Context, r *rig, _ work) (route, error) {
	return route{ca: r.file(upstreamCA)}, nil
}

// begin starts a proxy that is told its address, and waits until it listens.
func (r *rig) begin(ctx context.Context, ca string, command func(addr string) (*process, error)) (route, error) {
	addr, err := freeAddress()
	if err != nil {
		return route{}, err
	}
	p, err := command(addr)
	if err != nil {
		return route{}, err
	}
	if err := p.listening(ctx, addr); err != nil {
		p.stop()
		return route{}, err
	}
	return route{proxy: &url.URL{Scheme: "http", Host: addr}, ca: ca, process: p}, nil
}

func startRival(ctx context.Context, r *rig, _ work) (route, error) {
	return r.begin(ctx, r.file(rivalCA), func(addr string) (*process, error) {
		return launch(r.dir, r.environ, r.self, "goproxy", r.dir, addr)
	})
}

func tinyproxyInstalled(*rig) (string, bool) {
	_, err := exec.LookPath("tinyproxy")
	return version("tinyproxy", "-v"), err == nil
}

const tinyproxyConf = `Port %s
Listen 127.0.0.1
Timeout 600
MaxClients 5000
Allow 127.0.0.1
LogLevel Critical
`

func startTinyproxy(ctx context.Context, r *rig, _ work) (route, error) {
	return r.begin(ctx, r.file(upstreamCA), func(addr string) (*process, error) {
		_, port, _ := strings.Cut(addr, ":")
		conf := r.file("tinyproxy.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, tinyproxyConf, port), 0o644); err != nil {
			return nil, err
		}
		return launch(r.dir, r.environ, "tinyproxy", "-d", "-c", conf)
	})
}
