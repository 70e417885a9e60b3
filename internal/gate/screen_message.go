package gate

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
	"github.com/injectproxy/injectproxy/internal/listing"
)

// shelf is an array of a result that lists what there is.
type shelf struct {
	member, key string
	kind        Kind
}

// shelves are all of them. The template of resources is compared with patterns
// as it stands: who may read what db://users/* means sees db://users/{id}.
func shelves() [4]shelf {
	return [...]shelf{
		{"tools", "name", Tool}, {"resources", "uri", Resource},
		{"resourceTemplates", "uriTemplate", Resource}, {"prompts", "name", Prompt},
	}
}

// sieve takes out of messages what one caller may not see.
type sieve struct {
	allowed func(kind Kind, name string) bool
	lists   bool // a message may be a list: what cannot be read is not shown
	own     bool // whatever there is, is for one caller
	log     *slog.Logger
}

func (x *exchange) sieve(log *slog.Logger) *sieve {
	return &sieve{
		allowed: func(kind Kind, name string) bool { return x.route.Judge(kind, name, x.caller).Allowed },
		lists:   x.message.mayList(),
		own:     x.caller != nil,
		log:     log.With("route", x.route.Path),
	}
}

// message returns a message, or a batch of them, as the caller may see it: raw
// itself if that is all of it. An error means that nothing of it may be shown.
func (s *sieve) message(raw []byte) ([]byte, error) {
	text := bytes.TrimLeft(raw, " \t\r\n")
	switch {
	case len(text) == 0, !s.lists && !s.matters(text):
		return raw, nil
	case text[0] == '[':
		return s.batch(raw)
	case text[0] == '{':
		return s.one(raw)
	case json.Valid(text):
		return raw, nil // no message
	}
	return s.unread(raw)
}

// matters reports whether a message may have a member that matters, of any
// spelling: reading the answers of all calls would cost more.
func (s *sieve) matters(text []byte) bool {
	if bytes.Contains(text, []byte(`\u`)) || s.own && (bytes.Contains(text, []byte(`"cacheScope"`)) || bytes.Contains(text, []byte(`"ttlMs"`))) {
		return true
	}
	for _, l := range shelves() {
		if bytes.Contains(text, []byte(`"`+l.member+`"`)) {
			return true
		}
	}
	return false
}

func (s *sieve) batch(raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return s.unread(raw)
	}
	out := raw
	for _, at := range slices.Backward(jsonrpc.ElementsAt(raw)) {
		element := raw[at.From:at.To]
		switch element[0] {
		case '[':
			return s.unread(raw)
		case '{':
			shown, err := s.one(element)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(shown, element) {
				out = splice(out, at, shown)
			}
		}
	}
	return out, nil
}

// one screens one message. In place of a response that cannot be read stands an
// error.
func (s *sieve) one(raw []byte) ([]byte, error) {
	members, err := jsonrpc.Object(raw)
	if err != nil || jsonrpc.FoldedTwice(members, "result") {
		return s.unread(raw)
	}
	result := members["result"]
	if len(result) == 0 || result[0] != '{' {
		return raw, nil
	}
	shown, ok := s.result(result)
	switch {
	case ok && bytes.Equal(shown, result):
		return raw, nil
	case ok:
		return splice(raw, jsonrpc.MemberAt(raw, "result"), shown), nil
	}
	m, err := jsonrpc.Parse(raw)
	if err != nil || m.ID == nil || !s.lists {
		return s.unread(raw)
	}
	s.log.Warn("a response was not passed on: " + hiddenUnread.Error())
	return jsonrpc.ErrorBody(m.ID, codeDenied, "The answer of the MCP server cannot be passed on: "+hiddenUnread.Error(), nil), nil
}

// unread is what becomes of a message that readers could read differently.
func (s *sieve) unread(raw []byte) ([]byte, error) {
	if s.lists {
		return nil, hiddenUnread
	}
	return raw, nil
}

// result takes what is not allowed out of each list of a result. It is false if
// that has one that cannot be read.
func (s *sieve) result(result json.RawMessage) (json.RawMessage, bool) {
	members, err := jsonrpc.Object(result)
	if err != nil {
		return nil, false
	}
	listed, ok := s.own, true
	for _, l := range shelves() {
		list, has := members[l.member]
		if jsonrpc.FoldedTwice(members, l.member) {
			return nil, false
		}
		if !has || string(list) == "null" {
			continue
		}
		listed = true
		if result, ok = listing.Filter(result, l.member, l.key, func(name string) bool { return s.allowed(l.kind, name) }); !ok {
			return nil, false
		}
	}
	if listed {
		return private(result, members)
	}
	return result, true
}

// private has what may be kept (MCP 2026-07-28, "Caching") kept for its caller only:
// to another one another list would be shown, or nothing.
func private(result json.RawMessage, members map[string]json.RawMessage) (json.RawMessage, bool) {
	const scope, mine = "cacheScope", `"private"`
	if jsonrpc.FoldedTwice(members, scope) {
		return nil, false
	}
	at := jsonrpc.MemberAt(result, scope)
	switch {
	case at.To > 0 && string(members[scope]) != mine:
		return splice(result, at, []byte(mine)), true
	case at.To == 0 && members["ttlMs"] != nil: // without a scope it is public
		brace := bytes.IndexByte(result, '{') + 1
		return splice(result, jsonrpc.Place{From: brace, To: brace}, []byte(`"`+scope+`":`+mine+`,`)), true
	}
	return result, true
}

// splice returns raw with other bytes at a place.
func splice(raw []byte, at jsonrpc.Place, by []byte) []byte {
	return slices.Concat(raw[:at.From], by, raw[at.To:])
}
