package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestClientThatRecoversOn404DoesSoBehindNormalise: the reference server says
// 400 where the specification wants 404, so that clients that follow it do not
// find out that they have to begin another session. With normalise they do, and
// nothing is done in their place; without any recovery they do not.
func TestClientThatRecoversOn404DoesSoBehindNormalise(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	for _, mode := range []string{"normalise", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			m := newMortal(t, n)
			u := w.upstream("mcp.corp.test", g.token, http2too, m)
			p := w.serve(options{rules: g.rules(fmt.Sprintf("kind = \"mcp\"\nrecover = %q", mode), u.url+"/mcp"), hidden: []string{g.token}})
			var clients []*sessionClient
			for _, sdk := range sdks(n, "SESSION_RENEWS=1") {
				clients = append(clients, sdk.start(t, p, sdk.name, u.url+"/mcp"))
			}
			together(t, clients, func(c *sessionClient) error { return c.must(command{Do: "connect"}, echoes("here", 1)) })
			m.replace()
			together(t, clients, func(c *sessionClient) error {
				l, err := c.do(echoes("again", 1))
				if err != nil {
					return err
				}
				began := len(m.all(c.name, func(m message) bool { return m.method == "initialize" }))
				arrived := len(m.all(c.name, func(m message) bool { return strings.Contains(m.body, `"again"`) }))
				t.Logf("%s: %s: %v", mode, c.name, l)
				switch failed := l.Results[0].Error != ""; {
				case mode == "off" && (!failed || began != 1):
					return fmt.Errorf("%s: recovered from a 400: %v", c.name, l)
				case mode == "normalise" && (failed || began != 2 || arrived != 2):
					return fmt.Errorf("%s: %v; %d initialize and %d calls arrived, want 2 and 2", c.name, l, began, arrived)
				}
				return nil
			})
		})
	}
}
