package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// columns are the figures that the table of a kind shows, in order.
var columns = map[kind][]string{
	requests: {cpuPerOp, lagMedian, lag99, lagAdded, opsPerSec, peakMemory},
	transfer: {cpuPerGB, bytesPerSec, lagMedian, peakMemory},
	flow:     {cpuPerOp, cpuFlowing, lagMedian, lag99, peakMemory},
	idle:     {perStream, perResting, peakMemory},
	run:      {timeToRun, timeAdded},
	gobench:  {timePerOp, allocations, asked, roundTrips, beyond},
}

// heads are the columns' headings.
var heads = map[string]string{
	cpuPerOp: "CPU", cpuFlowing: "CPU, open", cpuPerGB: "CPU/GB", opsPerSec: "per second", bytesPerSec: "MB/s",
	lagMedian: "p50", lag99: "p99", lagAdded: "p50 added", perStream: "per stream at the peak", perResting: "per stream at rest", peakMemory: "peak memory",
	timeToRun: "takes", timeAdded: "added", timePerOp: "time", allocations: "allocations", asked: "acquisitions", roundTrips: "round trips", beyond: "beyond",
}

// order is how contenders are listed.
var order = []string{direct, "true", tunnel, squid, goproxy, injectproxy}

// rows are the lines of a work's table, the heading first. A column that nobody
// has a figure for is left out.
func rows(w work, found map[string]series) [][]string {
	var units []string
	head := []string{w.name}
	for _, unit := range columns[w.kind] {
		if measured(found, unit) {
			units, head = append(units, unit), append(head, heads[unit])
		}
	}
	list := [][]string{head}
	for _, name := range order {
		s, ok := found[name]
		if !ok {
			continue
		}
		line := []string{name}
		for _, unit := range units {
			line = append(line, cell(s, unit))
		}
		list = append(list, line)
	}
	return list
}

func measured(found map[string]series, unit string) bool {
	for _, s := range found {
		if _, ok := s.median(unit); ok {
			return true
		}
	}
	return false
}

func cell(s series, unit string) string {
	if s.err() != nil {
		return "errors"
	}
	m, ok := s.median(unit)
	if !ok {
		return ""
	}
	return show(unit, m)
}

// printTable prints a work's table, and who failed.
func printTable(out io.Writer, w work, found map[string]series) {
	fmt.Fprintf(out, "\n%s: %s\n", w.name, w.about)
	tabs := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range rows(w, found) {
		fmt.Fprintln(tabs, strings.Join(line, "\t")+"\t")
	}
	tabs.Flush()
	for _, name := range order {
		if err := found[name].err(); err != nil {
			fmt.Fprintf(out, "%s: no result: %v\n", name, err)
		}
	}
}

// show writes a figure with its unit.
func show(unit string, v float64) string {
	switch unit {
	case cpuPerOp, cpuFlowing, lagMedian, lag99, lagAdded:
		return fmt.Sprintf("%.1f µs", v/1e3)
	case timeToRun, timeAdded, beyond:
		return fmt.Sprintf("%.1f ms", v/1e6)
	case cpuPerGB:
		return fmt.Sprintf("%.2f s", v/1e9)
	case timePerOp:
		if v >= 1e6 {
			return fmt.Sprintf("%.1f ms", v/1e6)
		}
		return fmt.Sprintf("%.0f ns", v)
	case perStream, perResting:
		return fmt.Sprintf("%.1f KB", v/1e3)
	case peakMemory:
		return fmt.Sprintf("%.0f MB", v/1e6)
	}
	if v == math.Trunc(v) || v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// printTargets prints the table that the program is judged by, as far as its
// works were measured.
func printTargets(out io.Writer, all map[string]map[string]series) {
	tabs := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tabs, "\nwork\ttarget\tmeasured\t\tmoonshot\tmeasured\t")
	for _, t := range targets() {
		if found, ok := all[t.work]; ok {
			fmt.Fprintln(tabs, strings.Join(t.line(found), "\t")+"\t")
		}
	}
	tabs.Flush()
}

// line is a row of the table of targets.
func (t target) line(found map[string]series) []string {
	want, moonshot := judgeAll(t.want, found), judgeAll(t.moonshot, found)
	bounds := func(list []verdict) string { return join(list, func(v verdict) string { return v.String() }) }
	told := func(list []verdict) string { return join(list, verdict.told) }
	return []string{t.work, bounds(want), told(want), outcome(want), bounds(moonshot), told(moonshot), outcome(moonshot)}
}
