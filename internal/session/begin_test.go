package session

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestSessionIsKnownBeforeItsBeginningHasBeenRead(t *testing.T) {
	t.Parallel()
	srv, book := new(memoryServer), NewBook()
	defer book.Close()
	req, _ := http.NewRequest("POST", "https://mcp.test/mcp", strings.NewReader(aBeginning))
	req.Header.Set("Content-Type", "application/json")
	res, err := New(srv, Options{Book: book}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	some := make([]byte, res.ContentLength-1)
	io.ReadFull(res.Body, some)
	if n := len(book.Sessions()); n != 0 {
		t.Errorf("%d sessions before the last byte", n)
	}
	io.ReadFull(res.Body, some[:1]) // the end has not been seen
	if n := len(book.Sessions()); n != 1 {
		t.Errorf("%d sessions with the last byte", n)
	}
}
