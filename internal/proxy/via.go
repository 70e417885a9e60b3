package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// newPseudonym returns a name for one instance of the proxy, as the Via field
// has it (RFC 9110, section 7.6.3). It tells instances apart and says nothing
// about the machine.
func newPseudonym() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return "injectproxy-" + hex.EncodeToString(b)
}

// chain returns the Via field for what is sent to the upstream proxy because
// of r: what r came with, and ourselves. Origins are sent no Via of ours.
func (d *Dialer) chain(r *http.Request) string {
	received := slices.DeleteFunc(slices.Clone(r.Header["Via"]), func(v string) bool { return strings.Trim(v, " \t") == "" })
	return strings.Join(append(received, fmt.Sprintf("%d.%d %s", r.ProtoMajor, r.ProtoMinor, d.pseudonym)), ", ")
}

// chainFrom returns the Via field for a connection that is made because of
// the CONNECT in ctx.
func (d *Dialer) chainFrom(ctx context.Context) string {
	return firstOf(connectFrom(ctx).via, "1.1 "+d.pseudonym)
}

// cameBack returns the answer to a request that went through this proxy
// before, nil to any other: two proxies that are each other's upstream proxy
// would pass it on until neither has a connection left.
func (d *Dialer) cameBack(r *http.Request) *Answer {
	for _, v := range r.Header["Via"] {
		for hop := range strings.SplitSeq(v, ",") {
			if f := strings.Fields(hop); len(f) > 1 && f[1] == d.pseudonym {
				return proxyLoop("The request came back to a proxy that it had been through.",
					"One of the upstream proxies has injectproxy as its own upstream proxy: change upstream_proxy, or theirs.")
			}
		}
	}
	return nil
}

func proxyLoop(detail, hint string) *Answer {
	return &Answer{
		Status: http.StatusBadGateway, Type: "proxy-loop", Title: "The proxies form a loop", Reason: loopDetected, Final: true,
		Detail: detail, Hint: hint,
	}
}

// saysLoop reports whether an upstream proxy answered that there is a loop.
func saysLoop(res *http.Response) bool {
	return strings.Contains(res.Header.Get("Proxy-Status"), loopDetected)
}

// loopDetected is how proxies tell each other of a loop (RFC 9209, section
// 2.3.17).
const loopDetected = "proxy_loop_detected"
