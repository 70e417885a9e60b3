package bench_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
)

// BenchmarkLeaf is what a handshake needs of the CA: a leaf for a host that was
// never asked for, and one that is there.
func BenchmarkLeaf(b *testing.B) {
	permit, err := ca.ParsePermit([]string{"corp.example"})
	if err != nil {
		b.Fatal(err)
	}
	authority, err := ca.Ephemeral(permit, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct {
		name string
		host func(i int) string
	}{
		{"minted", func(i int) string { return fmt.Sprintf("h%d.corp.example", i) }},
		{"cached", func(int) string { return "corp.example" }},
	} {
		b.Run("leaf="+test.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := authority.Leaf(test.host(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
