package record

import (
	"sync"
	"testing"
)

// Who works beside a request has a copy of its Record, and leaves word on it at
// any time.
func TestRemarkIsSharedByCopiesOfARecord(t *testing.T) {
	r := &Record{Rule: "api", Remark: new(Remark)}
	if r.Remark.String() != "" {
		t.Errorf("before: %q", r.Remark)
	}
	ctx := NewContext(t.Context(), r)
	var beside sync.WaitGroup
	for range 4 {
		beside.Go(func() {
			own := *FromContext(ctx)
			own.Remark.Set("healed")
		})
	}
	_ = r.Remark.String() // meanwhile
	beside.Wait()
	if r.Remark.String() != "healed" {
		t.Errorf("after: %q", r.Remark)
	}
}

func TestRequestsWithoutARecordNeedNoSpecialCase(t *testing.T) {
	r := FromContext(t.Context())
	r.Remark.Set("to nobody")
	if r.Remark.String() != "" || r.Span != nil || FromContext(t.Context()) == r {
		t.Errorf("%+v", r)
	}
}
