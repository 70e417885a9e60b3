package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// newClient returns a client of a route. Clients share nothing: one that speaks
// HTTP/2 has one connection for as long as the server lets it.
func newClient(r route, roots *x509.CertPool, w work) *http.Client {
	kept := w.clients
	if w.fresh {
		kept = -1 // none
	}
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: kept,
		DisableKeepAlives:   w.closes,
		ForceAttemptHTTP2:   w.h2,
		ReadBufferSize:      32 << 10,
	}
	if !w.h2 {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}
	if r.proxy != nil {
		tr.Proxy = http.ProxyURL(r.proxy)
	}
	return &http.Client{Transport: tr}
}
