package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"
)

// upstreamCA is the file, in the directory of a run, of what the upstream is
// trusted by.
const upstreamCA = "upstream-ca.pem"

// serveUpstream serves what all requests are for, HTTP/1.1 and HTTP/2, in a
// process of its own. It returns with an error only.
func serveUpstream(dir, addr string) error {
	a, err := newAuthority("upstream of a measurement")
	if err != nil {
		return err
	}
	if err := a.write(filepath.Join(dir, upstreamCA)); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:   upstreamHandler(),
		TLSConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}, GetCertificate: a.forHello},
		ErrorLog:  log.New(io.Discard, "", 0), // of clients that leave: the client says what went wrong
	}
	return srv.ServeTLS(ln, "", "")
}

func upstreamHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/small", serveSmall)
	mux.HandleFunc("/big", serveBig())
	mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/events", serveEvents)
	return authorized(mux)
}

// authorized refuses what comes without a token, so that a proxy that adds none
// is seen at once.
func authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveSmall answers with 1 KiB of JSON's type.
func serveSmall(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1024")
	w.Write(bytes.Repeat([]byte("0123456789abcdef"), 64))
}

// serveBig answers with as many bytes as n says.
func serveBig() http.HandlerFunc {
	block := make([]byte, 256<<10)
	rand.Read(block)
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		for n > 0 {
			k, err := w.Write(block[:min(n, int64(len(block)))])
			if err != nil {
				return
			}
			n -= int64(k)
		}
	}
}

// serveEvents sends n events, one each time every has passed; with n of zero it
// says nothing until the client leaves. An event carries when it was sent. A
// comment comes before all of them: goproxy holds the header of an HTTP/2 stream
// back until there is a body.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	fmt.Fprint(w, ": open\n\n")
	out.Flush()
	if n == 0 {
		<-r.Context().Done()
		return
	}
	every, err := time.ParseDuration(r.URL.Query().Get("every"))
	if err != nil {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range n {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		fmt.Fprintf(w, "data: %d {\"choices\":[{\"delta\":{\"content\":\"token\"}}]}\n\n", time.Now().UnixNano())
		out.Flush()
	}
}
