package main

import (
	"errors"
	"testing"
)

// of is a series of one figure.
func of(unit string, values ...float64) (s series) {
	for _, v := range values {
		s = append(s, result{n: 1, figures: map[string]float64{unit: v}})
	}
	return s
}

func TestMedianIsTheMiddleOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list []float64
		want float64
		ok   bool
	}{
		{nil, 0, false},
		{[]float64{7}, 7, true},
		{[]float64{9, 1, 5}, 5, true},
		{[]float64{4, 1, 1000, 2}, 3, true},
	} {
		if got, ok := median(tt.list); got != tt.want || ok != tt.ok {
			t.Errorf("median(%v) = %v, %v; want %v, %v", tt.list, got, ok, tt.want, tt.ok)
		}
	}
}

// The machine was half as fast in the second round: the ratio of medians would
// say 1, those of the rounds say 2.
func TestRatioComparesWhatWasMeasuredInTheSameRound(t *testing.T) {
	t.Parallel()
	mine, theirs := of(cpuPerOp, 20, 40, 20), of(cpuPerOp, 10, 20, 20)
	if got, ok := mine.ratio(theirs, cpuPerOp); got != 2 || !ok {
		t.Errorf("ratio %v, %v; want 2", got, ok)
	}
}

func TestMeasurementWithErrorsIsNoResult(t *testing.T) {
	t.Parallel()
	mine, theirs := of(cpuPerOp, 20, 40), of(cpuPerOp, 10, 20)
	mine[1].err = errors.New("500 failed")
	if _, ok := mine.median(cpuPerOp); ok {
		t.Error("it has a median")
	}
	if _, ok := mine.ratio(theirs, cpuPerOp); ok {
		t.Error("it has a ratio")
	}
	if _, ok := theirs.ratio(mine, cpuPerOp); ok {
		t.Error("others have a ratio to it")
	}
	v := judge(bound{cpuPerOp, 1000, goproxy}, map[string]series{injectproxy: mine, goproxy: theirs})
	if v.known || v.met() {
		t.Errorf("the verdict is %+v", v)
	}
}

func TestRatioToNothingIsNone(t *testing.T) {
	t.Parallel()
	for name, theirs := range map[string]series{"absent": nil, "idle": of(cpuPerOp, 0), "shorter": of(cpuPerOp, 1, 2), "another unit": of(lag99, 1)} {
		if got, ok := of(cpuPerOp, 20).ratio(theirs, cpuPerOp); ok {
			t.Errorf("%s: ratio %v", name, got)
		}
	}
}

func TestLatencyAddedIsOverDirectOfTheSameRound(t *testing.T) {
	t.Parallel()
	s := of(lagMedian, 150, 270)
	s.subtract(of(lagMedian, 100, 200), lagMedian, lagAdded)
	if got := s.values(lagAdded); len(got) != 2 || got[0] != 50 || got[1] != 70 {
		t.Errorf("added %v, want 50 and 70", got)
	}
}
