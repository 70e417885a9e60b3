package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// TestWebSocket: messages go back and forth, each sent once the last came
// back, and either side may close with a status that the other sees.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), newGateway(t)
	ended := make(chan error, 2)
	u := w.upstream("ws.corp.test", g.token, http2too, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ended <- echo(rw, r)
	}))
	p := w.serve(options{rules: g.rules("", u.url+"/"), hidden: []string{g.token}})
	goClient(t, p, "websocket", "ws.corp.test")
	for range 2 {
		if err, late := receive(ended); err != nil || late != nil {
			t.Errorf("the server's side: %v %v", err, late)
		}
	}
	u.wantVisit(t, "/client-closes", "HTTP/1.1", g.token)
	u.wantVisit(t, "/server-closes", "HTTP/1.1", g.token)
}

const rounds = 5

// echo sends back what comes, until one side closes.
func echo(rw http.ResponseWriter, r *http.Request) error {
	c, err := websocket.Accept(rw, r, nil)
	if err != nil {
		return err
	}
	defer c.CloseNow()
	for range rounds {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return err
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return err
		}
	}
	if r.URL.Path == "/server-closes" {
		return c.Close(websocket.StatusGoingAway, "enough")
	}
	_, _, err = c.Read(r.Context())
	if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		return fmt.Errorf("the client closed with %v", err)
	}
	return nil
}

func websocketClient(ctx context.Context, host string) error {
	c, err := exchange(ctx, "wss://"+host+"/client-closes")
	if err != nil {
		return err
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		return err
	}
	if c, err = exchange(ctx, "wss://"+host+"/server-closes"); err != nil {
		return err
	}
	defer c.CloseNow()
	_, _, err = c.Read(ctx)
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		return fmt.Errorf("the server closed with %v", err)
	}
	return nil
}

// exchange connects and has messages of several sizes echoed.
func exchange(ctx context.Context, url string) (*websocket.Conn, error) {
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	for i := range rounds {
		sent := fmt.Sprintf("%*d", 1+i*5000, i)
		if err := c.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			return nil, err
		}
		_, got, err := c.Read(ctx)
		if err != nil {
			return nil, err
		}
		if string(got) != sent {
			return nil, fmt.Errorf("message %d came back as %d bytes", i, len(got))
		}
	}
	return c, nil
}
