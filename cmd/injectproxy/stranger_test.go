package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// strangerVar makes the test binary a client of the proxy at that address,
// whose errands, encoded, are in errandsVar.
const (
	strangerVar = "INJECTPROXY_TEST_STRANGER"
	errandsVar  = "INJECTPROXY_TEST_ERRANDS"
)

// errand is one connection to the proxy: what is said at the door, and, if
// that is let in by CONNECT, the host to ask for "/v1/x" over TLS.
type errand struct {
	Door, Host string
}

// outcome is the status at the door and the one inside, 0 if there was none.
type outcome struct {
	Door, Inside int
	Error        string
}

func strangerMain(addr string) int {
	var errands []errand
	if err := json.Unmarshal([]byte(os.Getenv(errandsVar)), &errands); err != nil {
		fmt.Println(err)
		return 1
	}
	outcomes := make([]outcome, len(errands))
	for i, e := range errands {
		outcomes[i] = e.run(addr)
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		return 1
	}
	return 0
}

func (e errand) run(addr string) (o outcome) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(guard))
	io.WriteString(conn, e.Door)
	method, _, _ := strings.Cut(e.Door, " ")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return outcome{Error: err.Error()}
	}
	if o.Door = res.StatusCode; o.Door != http.StatusOK || method != http.MethodConnect {
		return o
	}
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: e.Host}) // what counts is what arrives
	fmt.Fprintf(tc, "GET /v1/x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", e.Host)
	if res, err = http.ReadResponse(bufio.NewReader(tc), nil); err != nil {
		o.Error = err.Error()
		return o
	}
	o.Inside = res.StatusCode
	return o
}
