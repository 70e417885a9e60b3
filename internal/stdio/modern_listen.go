package stdio

import (
	"context"
	"encoding/json"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// metaSubscription is where a notification says to which subscriptions/listen it
// belongs.
const metaSubscription = "io.modelcontextprotocol/subscriptionId"

// honored is to what a server has agreed that is asked by a subscriptions/listen.
type honored struct {
	Tools     bool     `json:"toolsListChanged"`
	Prompts   bool     `json:"promptsListChanged"`
	Resources bool     `json:"resourcesListChanged"`
	URIs      []string `json:"resourceSubscriptions"`
}

// honoredIn reads the params of a notifications/subscriptions/acknowledged. What
// cannot be read is not agreed to.
func honoredIn(params json.RawMessage) (h honored) {
	members, err := jsonrpc.Object(params)
	if err == nil && json.Unmarshal(members["notifications"], &h) != nil {
		return honored{}
	}
	return h
}

// changes returns the notifications by which everything has changed to which the
// server has agreed. Meta is said in each; nil: nothing.
func (h honored) changes(meta []member) (all []message) {
	with := func(more ...member) []byte {
		if meta != nil {
			more = append(more, member{"_meta", object(meta...)})
		}
		if more == nil {
			return nil
		}
		return object(more...)
	}
	for _, list := range []struct {
		name string
		of   bool
	}{{"tools", h.Tools}, {"prompts", h.Prompts}, {"resources", h.Resources}} {
		if list.of {
			all = append(all, notificationOf("notifications/"+list.name+"/list_changed", with()))
		}
	}
	for _, uri := range h.URIs {
		all = append(all, notificationOf("notifications/resources/updated", with(member{"uri", quoted(uri)})))
	}
	return all
}

// first sends a modern request to a server of which nothing is known yet.
func (e *eras) first(ctx context.Context, c *call) error {
	if c.Method != "subscriptions/listen" {
		return e.wire(ctx, c)
	}
	return e.keep(ctx, c)
}

// keep sends a subscriptions/listen, and again whenever its stream breaks that
// the server had agreed to: the client sees one stream for as long as it wants
// it, as it does of the era before, and is told to look at what may have changed.
func (e *eras) keep(ctx context.Context, c *call) error {
	k := listening{e: e, c: c}
	for {
		err := e.send(ctx, c.message, &errand{finish: k.finish, other: k.heard})
		switch {
		case k.answered, ctx.Err() != nil, !k.agreed, refusedForGood(err):
			return err
		}
		k.pace.failed(retryOf(err))
		if !pause(ctx, k.pace.wait()) {
			return context.Cause(ctx)
		}
	}
}

// listening is a subscriptions/listen of a modern client.
type listening struct {
	e        *eras
	c        *call
	agreed   bool // the server has, and the client knows
	answered bool
	pace     pace
}

func (k *listening) finish(_ jsonrpc.Message, raw []byte) error {
	k.answered = true
	return k.e.out(raw, k.c)
}

func (k *listening) heard(m jsonrpc.Message, raw []byte) error {
	if m.Method != "notifications/subscriptions/acknowledged" {
		return k.e.out(raw, k.c)
	}
	k.pace.well()
	if !k.agreed {
		k.agreed = true
		return k.e.out(raw, k.c)
	}
	for _, n := range honoredIn(m.Params).changes([]member{{metaSubscription, k.c.ID}}) {
		if err := k.e.out(n.raw, k.c); err != nil {
			return err
		}
	}
	return nil
}
