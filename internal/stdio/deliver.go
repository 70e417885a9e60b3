package stdio

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// deliver passes on what the server said: to the request that it answers, or to
// the client as it is. On is the request on whose stream it came, and nil if it
// belongs to none. Raw is one message, or an array of them; it is not kept. An
// error says that it is neither, in words for the client's user: then nothing of
// it was passed on, unless it was meant for on, which then has its answer: an error.
//
// It returns when the client has been written the message. It may be called
// concurrently, and not after the method of upstream that it is called for has
// returned.
func (b *Bridge) deliver(raw []byte, on *call) error {
	m, raw, err := parse(bytes.TrimPrefix(raw, byteOrderMark))
	if err != nil {
		return b.misspoken(raw, on, err)
	}
	on.touch()
	switch m.Kind {
	case jsonrpc.Batch:
		return b.deliverEach(raw, on)
	case jsonrpc.Response:
		b.respond(m, raw, on)
		return nil
	case jsonrpc.Request:
		if m.Method != "ping" { // which asks nobody anything
			b.calls.ask(keyOf(m.ID), on)
		}
	case jsonrpc.Notification:
		b.signOfLife(m)
	}
	b.out.write(raw)
	return nil
}

// deliverEach delivers the messages of a batch. One that is wrong is no reason
// to keep the others from the client.
func (b *Bridge) deliverEach(raw []byte, on *call) (wrong error) {
	err := eachOf(raw, func(element []byte) error {
		err := errors.New("a batch within a batch")
		if element[0] != '[' {
			err = b.deliver(element, on)
		}
		if wrong == nil {
			wrong = err
		}
		return nil
	})
	return errors.Join(err, wrong)
}

// misspoken deals with what the server said and is no message. If it must have
// been meant as the response of on there will be no other.
func (b *Bridge) misspoken(raw []byte, on *call, err error) error {
	f := misspoke(err)
	b.o.Log.Debug("the server sent what is no message: dropped", "reason", err)
	if on != nil && json.Valid(raw) {
		if id, ok := glanceAt(raw).response(); ok && keyOf(id) == on.key && b.calls.settle(on) {
			b.reply(on, f)
		}
	}
	return f
}

// respond gives a response to the call that waits for it. One that says no id
// can only be for the call on whose stream it came.
func (b *Bridge) respond(m jsonrpc.Message, raw []byte, on *call) {
	var c *call
	switch {
	case m.ID != nil:
		c = b.calls.take(keyOf(m.ID))
	case on != nil && m.Result == nil && b.calls.settle(on):
		c = on
	}
	if c == nil {
		b.o.Log.Debug("nobody waits for this response: dropped")
		return
	}
	defer c.settle()
	if c.Method == "initialize" && m.Result != nil {
		b.legacy.Store(true)
	}
	raw, err := b.shown(c, m, raw)
	if err != nil {
		b.out.write(errorFor(c, &failure{code: codeOurs, line: err.Error()}))
		return
	}
	b.out.write(underID(raw, m.ID, c.ID))
}

// signOfLife tells the clock of a call what a notification says of it: that it
// makes progress, wherever that came, or that the server has withdrawn what it
// had asked.
func (b *Bridge) signOfLife(m jsonrpc.Message) {
	switch m.Method {
	case "notifications/progress":
		if key := keyIn(m.Params, "progressToken"); key != "" {
			b.calls.progress(key).touch()
		}
	case "notifications/cancelled":
		if key := keyIn(m.Params, "requestId"); key != "" {
			b.calls.reply(key)
		}
	}
}

// shown returns raw without the tools that the client may not see.
func (b *Bridge) shown(c *call, m jsonrpc.Message, raw []byte) ([]byte, error) {
	if b.o.Tools == nil || c.Method != "tools/list" || m.Result == nil {
		return raw, nil
	}
	result, ok := filterTools(m.Result, b.o.Tools)
	if !ok {
		return nil, errors.New("the server's list of tools cannot be read, so that it cannot be filtered: it is not passed on")
	}
	return splice(raw, memberAt(raw, "result"), result), nil
}

// underID returns the response raw with the id as the client wrote it.
func underID(raw []byte, is, want json.RawMessage) []byte {
	if bytes.Equal(is, want) {
		return raw
	}
	if at := memberAt(raw, "id"); at.to > 0 {
		return splice(raw, at, want)
	}
	at := bytes.IndexByte(raw, '{') + 1
	return splice(raw, span{at, at}, slices.Concat([]byte(`"id":`), want, []byte(",")))
}

// splice returns raw with other bytes at a place.
func splice(raw []byte, at span, by []byte) []byte {
	return slices.Concat(raw[:at.from], by, raw[at.to:])
}
