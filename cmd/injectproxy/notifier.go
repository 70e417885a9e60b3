package main

import (
	"os"

	"github.com/injectproxy/injectproxy/internal/signin"
)

// notifier shows a notification where a person is most likely to look: in the
// terminal that serve runs in, else on the desktop; nil if there is neither.
func notifier(stderr *os.File) func(title, message string) {
	if show := signin.Terminal(stderr); show != nil {
		return show
	}
	return signin.Desktop()
}
