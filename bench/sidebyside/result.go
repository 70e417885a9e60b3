package main

import (
	"slices"
	"time"
)

// The units that figures are in. They are named as the Go benchmark format wants
// it: what is in nanoseconds says so at its end.
const (
	cpuPerOp    = "cpu-ns/op"      // of the proxy, per request or event
	cpuFlowing  = "flow-cpu-ns/op" // per event, while all streams are open
	cpuPerGB    = "cpu-ns/GB"
	opsPerSec   = "op/s"
	bytesPerSec = "MB/s"
	lagMedian   = "p50-ns"
	lag99       = "p99-ns"
	lagAdded    = "added-p50-ns" // over direct, in the same round
	perStream   = "peak-B/stream"
	perResting  = "rest-B/stream" // a while after the last was opened
	peakMemory  = "peak-B"
	timeToRun   = "run-ns"
	timeAdded   = "added-run-ns"
	timePerOp   = "ns/op"
	allocations = "allocs/op"
	asked       = "asks/op"       // acquisitions of a token
	roundTrips  = "roundtrips/op" // to the upstream, of one request
	beyond      = "beyond-ns"     // the acquisition and two round trips: below zero is within
)

// A result is what one measurement found, or why it is none.
type result struct {
	n       int64 // requests, events, streams or runs
	figures map[string]float64
	err     error // then figures are not to be trusted
}

// series are the results of one contender at one work, one for each round.
type series []result

// err returns why there is no figure: a measurement with errors is not one.
func (s series) err() error {
	for _, r := range s {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// values returns a figure of every round, or nothing if a round lacks it.
func (s series) values(unit string) []float64 {
	var list []float64
	for _, r := range s {
		v, ok := r.figures[unit]
		if !ok || r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}

// median returns the median over the rounds. It is false if there is none.
func (s series) median(unit string) (float64, bool) { return median(s.values(unit)) }

// ratio returns the median of the ratios to another contender, round by round:
// both of a round were measured within seconds, on the same machine in the same
// mood.
func (s series) ratio(to series, unit string) (float64, bool) {
	mine, theirs := s.values(unit), to.values(unit)
	if len(mine) != len(theirs) {
		return 0, false
	}
	ratios := make([]float64, len(mine))
	for i := range mine {
		if theirs[i] <= 0 {
			return 0, false
		}
		ratios[i] = mine[i] / theirs[i]
	}
	return median(ratios)
}

// median of an even number is the mean of the two in the middle.
func median(list []float64) (float64, bool) {
	if len(list) == 0 {
		return 0, false
	}
	list = slices.Sorted(slices.Values(list))
	half := len(list) / 2
	if len(list)%2 == 1 {
		return list[half], true
	}
	return (list[half-1] + list[half]) / 2, true
}

// subtract sets, in every round, a figure to what another is above base's.
func (s series) subtract(base series, unit, name string) {
	for i, r := range s {
		if i < len(base) && r.err == nil && base[i].err == nil {
			r.figures[name] = r.figures[unit] - base[i].figures[unit]
		}
	}
}

func nanoseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) }
