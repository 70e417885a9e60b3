package session

// Book knows the sessions of all routes that share it. It is safe for
// concurrent use.
type Book struct{}

// NewBook returns an empty Book.
func NewBook() *Book { return new(Book) }

// Sessions returns what is known of each live session, the last used first.
func (b *Book) Sessions() []Summary { return nil }

// Close ends all recoveries and waits for them.
func (b *Book) Close() {}
