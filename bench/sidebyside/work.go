package main

import "time"

// A work is something that is asked of every peer.
type work struct {
	name, about string
	kind        kind
	path        string
	clients     int   // that send side by side, or streams
	size        int64 // of a body, where it is not 1 KiB
	fresh       bool  // a connection for each request
	closes      bool  // and the request says that it is the last: Connection: close
	chunked     bool  // the length of the body is not told
	hosts       int   // asked for in one measurement, none of which was asked for before
	h2          bool  // between client and proxy
	events      int   // of each stream
}

// A kind says how a work is measured.
type kind int

const (
	requests kind = iota // CPU and latency of requests
	transfer             // CPU per byte of bodies
	flow                 // CPU and lag of events
	idle                 // memory of streams that say nothing
	run                  // time that a command takes to run
	gobench              // a Go benchmark of this module
)

// every is the time between two events of a stream.
const every = 200 * time.Millisecond

// connectionsH2 is how many connections the streams of HTTP/2 clients share.
const connectionsH2 = 4

func works() []work {
	return []work{
		{name: "keepalive1", about: "1 KiB answers, 1 client that keeps its connection", kind: requests, path: "/small", clients: 1},
		{name: "keepalive", about: "1 KiB answers, 32 clients that keep their connections", kind: requests, path: "/small", clients: 32},
		{name: "keepalive-h2", about: "1 KiB answers, 32 clients on one HTTP/2 connection", kind: requests, path: "/small", clients: 32, h2: true},
		{name: "newconn", about: "1 KiB answers, 16 clients, a connection for each request, which says so (Connection: close)", kind: requests, path: "/small", clients: 16, fresh: true, closes: true},
		{name: "newconn-silent", about: "the same, and the request does not say so", kind: requests, path: "/small", clients: 16, fresh: true},
		{name: "newhost", about: "a connection for each request, to a host that was never asked for", kind: requests, path: "/small", clients: 16, fresh: true, closes: true, hosts: 1000},
		{name: "download", about: "answers of 64 MiB, 2 clients", kind: transfer, path: "/big", clients: 2, size: 64 << 20},
		{name: "upload", about: "requests of 64 MiB, 2 clients", kind: transfer, path: "/sink", clients: 2, size: 64 << 20},
		{name: "upload-chunked", about: "the same, their length not told", kind: transfer, path: "/sink", clients: 2, size: 64 << 20, chunked: true},
		{name: "sse", about: "500 streams of 20 events each, one every 200 ms", kind: flow, path: "/events", clients: 500, events: 20},
		{name: "sse-h2", about: "the same on 4 HTTP/2 connections", kind: flow, path: "/events", clients: 500, events: 20, h2: true},
		{name: "idle", about: "2,000 streams that say nothing", kind: idle, path: "/events", clients: 2000},
		{name: "idle-h2", about: "500 streams that say nothing on 4 HTTP/2 connections", kind: idle, path: "/events", clients: 500, h2: true},
		{name: "exec", about: "a command that does nothing, with a proxy of its own", kind: run},
		{name: "match", about: "the rule of an ordinary path, of 10,000 (Go benchmark)", kind: gobench},
		{name: "refusals", about: "1,000 requests at once whose token is refused (Go benchmark)", kind: gobench},
	}
}

// connections returns how many connections of HTTP/2 the clients share; 0 means
// that each has its own.
func (w work) connections() int {
	switch {
	case !w.h2:
		return 0
	case w.kind == requests:
		return 1
	}
	return min(connectionsH2, w.clients)
}

// descriptors is how many files a proxy has open in this work, at the least: two
// for each client.
func (w work) descriptors() uint64 { return uint64(2*w.clients) + 200 }
