package verify

import (
	"crypto/rsa"
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	v := still(b, map[string]*publicKey{"first": {alg: "RS256", public: first().private.Public().(*rsa.PublicKey)}})
	token := first().token(nil)
	for name, forget := range map[string]bool{"cached": false, "uncached": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if forget {
					v.valid = newCache()
				}
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
