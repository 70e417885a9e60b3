package stdio

// New returns a bridge. It does nothing before Run.
func New(o Options) *Bridge {
	return newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) })
}
