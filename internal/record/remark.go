package record

import "sync/atomic"

// Remark is a word about a request that those who work beside it may leave,
// too: it is safe for concurrent use, and shared by copies of a Record. A nil
// Remark forgets what it is told.
type Remark struct{ text atomic.Pointer[string] }

// Set replaces the word.
func (m *Remark) Set(text string) {
	if m != nil {
		m.text.Store(&text)
	}
}

// String returns the word, "" if none was left.
func (m *Remark) String() string {
	if m == nil {
		return ""
	}
	if text := m.text.Load(); text != nil {
		return *text
	}
	return ""
}
