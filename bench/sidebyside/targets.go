package main

import (
	"fmt"
	"strings"
)

// A bound is what a figure must not exceed: so many times that of another
// contender in the same round or, with none, so much.
type bound struct {
	unit  string
	limit float64
	of    string // contender; "" if limit is a figure
}

// A target is a row of the table that the program is judged by.
type target struct {
	row      string // of the table, the same for all of its works
	work     string
	want     []bound
	moonshot []bound
}

func targets() []target {
	transfer := func(work string) target {
		return target{"download and upload, CPU per GB", work,
			[]bound{{cpuPerGB, .33, squid}, {cpuPerGB, .95, goproxy}}, []bound{{cpuPerGB, .75, goproxy}}}
	}
	fresh := func(work string) target {
		return target{"new connection, CPU", work,
			[]bound{{cpuPerOp, .70, squid}, {cpuPerOp, .42, goproxy}}, []bound{{cpuPerOp, .55, squid}}}
	}
	return []target{
		{"keep-alive, 32 clients, CPU per request", "keepalive",
			[]bound{{cpuPerOp, .70, squid}, {cpuPerOp, 1, goproxy}}, []bound{{cpuPerOp, .50, squid}, {cpuPerOp, 1.4, tunnel}}},
		{"keep-alive, 1 client, latency added over direct", "keepalive1",
			[]bound{{lagAdded, .75, squid}}, []bound{{lagAdded, 1, goproxy}}},
		fresh("newconn"), fresh("newconn-silent"),
		{"new host (a leaf is minted), CPU", "newhost",
			[]bound{{cpuPerOp, .80, goproxy}}, []bound{{cpuPerOp, .5, goproxy}}},
		transfer("download"), transfer("upload"), transfer("upload-chunked"),
		{"event streams, CPU per event and p99 lag", "sse",
			[]bound{{cpuPerOp, .75, goproxy}, {lag99, 1, squid}}, []bound{{cpuPerOp, 1.2, tunnel}}},
		{"idle stream, memory", "idle",
			[]bound{{perStream, .55, goproxy}, {perStream, 60e3, ""}}, []bound{{perStream, 40e3, ""}}},
		{"HTTP/2 client legs, keep-alive", "keepalive-h2", []bound{{cpuPerOp, .8, goproxy}}, nil},
		{"HTTP/2 client legs, 500 streams on few connections", "idle-h2", []bound{{perStream, .6, goproxy}}, nil},
		{"match, 10,000 rules, an ordinary path", "match",
			[]bound{{timePerOp, 300, ""}, {allocations, 0, ""}}, []bound{{timePerOp, 100, ""}}},
		{"1,000 concurrent 401s: one acquisition, none sent more than twice (the time is told, not judged)", "refusals",
			[]bound{{asked, 1, ""}, {roundTrips, 2, ""}}, nil},
		{"exec -- true, over true", "exec", []bound{{timeAdded, 40e6, ""}}, []bound{{timeAdded, 15e6, ""}}},
	}
}

// A verdict is a bound and what was measured.
type verdict struct {
	bound
	measured float64
	known    bool
}

// met reports whether the figure keeps to its bound. What was not measured does
// not.
func (v verdict) met() bool { return v.known && v.measured <= v.limit }

// judge compares what was found at a work with a bound.
func judge(b bound, found map[string]series) verdict {
	mine := found[injectproxy]
	v := verdict{bound: b}
	if b.of == "" {
		v.measured, v.known = mine.median(b.unit)
	} else {
		v.measured, v.known = mine.ratio(found[b.of], b.unit)
	}
	return v
}

func judgeAll(bounds []bound, found map[string]series) (list []verdict) {
	for _, b := range bounds {
		list = append(list, judge(b, found))
	}
	return list
}

// outcome is one word for all bounds of a cell.
func outcome(list []verdict) string {
	missed, known := false, false
	for _, v := range list {
		known = known || v.known
		missed = missed || v.known && !v.met()
	}
	switch {
	case len(list) == 0:
		return "-"
	case missed:
		return "missed"
	case !known:
		return "not measured"
	}
	for _, v := range list {
		if !v.known {
			return "met, as far as measured"
		}
	}
	return "met"
}

// String is the bound as the table has it.
func (b bound) String() string {
	if b.of == "" {
		return "≤ " + show(b.unit, b.limit)
	}
	return strings.TrimSpace(fmt.Sprintf("≤ %.2f × %s %s", b.limit, b.of, aspect[b.unit]))
}

// aspect tells apart the bounds of a row that has several units.
var aspect = map[string]string{lag99: "(p99)"}

// told is what was measured, in the terms of the bound.
func (v verdict) told() string {
	switch {
	case !v.known:
		return "not measured"
	case v.of == "":
		return show(v.unit, v.measured)
	}
	return fmt.Sprintf("%.2f × %s", v.measured, v.of)
}

func join[T any](list []T, text func(T) string) string {
	var parts []string
	for _, x := range list {
		parts = append(parts, text(x))
	}
	return strings.Join(parts, ", ")
}
