package stdio

import (
	"context"
	"encoding/json"
	"sync"
)

// mostNotices is how many notices are kept for a client that takes none yet.
const mostNotices = 8

// notices are what the client's user is told by the bridge itself. The zero value
// is ready.
type notices struct {
	mu   sync.Mutex
	kept [][]byte
	more chan struct{}
}

// Notify tells the client's user something by notifications/message, at the level
// warning, once the client has said that it is initialized: until then, and while
// the client reads nothing, the last 8 are kept. In a protocol without initialize
// nobody is told. It does not wait, and may be called concurrently.
func (b *Bridge) Notify(title, message string) {
	type params struct {
		Level  string `json:"level"`
		Logger string `json:"logger"`
		Data   string `json:"data"`
	}
	raw, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  params `json:"params"`
	}{"2.0", "notifications/message", params{"warning", "injectproxy", title + ": " + message}})
	if err != nil { // strings always marshal
		panic(err)
	}
	n := &b.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept = append(n.kept, raw); len(n.kept) > mostNotices {
		n.kept = n.kept[1:]
	}
	select {
	case n.more <- struct{}{}:
	default:
	}
}

// notify writes notices until ctx is done. The client is initialized.
func (b *Bridge) notify(ctx context.Context) {
	for {
		for raw := b.notices.next(); raw != nil; raw = b.notices.next() {
			b.out.write(raw)
		}
		select {
		case <-b.notices.more:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notices) next() (raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) > 0 {
		raw, n.kept = n.kept[0], n.kept[1:]
	}
	return raw
}
