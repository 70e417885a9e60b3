package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// atDoor sends one request to the proxy port itself.
func atDoor(t testing.TB, addr, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(guard))
	_, err = io.WriteString(conn, request)
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // as if for GET: a refusal of CONNECT has a body
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		return reply{status: res.StatusCode}
	}
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return reply{res.StatusCode, res.Header, string(body)}
}

// connectTo is a CONNECT as clients send it.
func connectTo(authority string) string {
	return fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
}
