package stdio

// LargestMessage is how many bytes a message may have, either way.
const LargestMessage = mostMessage

// New returns a bridge. It does nothing before Run.
func New(o Options) *Bridge {
	return newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) })
}
