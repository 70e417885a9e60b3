package signin

import (
	"io"
	"os"
	"runtime"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// maxText is how many characters of a notification are shown, the longest
// command that names claims among them. Terminals drop what is much longer.
const maxText = 2000

// Terminal returns what shows a notification through the terminal w, by the
// sequence OSC 9 that iTerm2 introduced and that terminals which do not know
// it ignore; nil if w is no terminal, or one of those that show sequences in
// place of following them, as consoles of Windows may.
func Terminal(w io.Writer) func(title, message string) {
	f, ok := w.(*os.File)
	if !ok || runtime.GOOS == "windows" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	switch os.Getenv("TERM") {
	case "", "dumb", "linux":
		return nil
	}
	// In one write, for others write to the terminal too.
	return func(title, message string) { _, _ = io.WriteString(f, osc9(title, message)) }
}

// osc9 returns the sequence that shows a notification. Its text never begins
// with a digit and a semicolon: ConEmu takes some of those for commands, among
// them one to run a program.
func osc9(title, message string) string {
	return "\x1b]9;injectproxy: " + clean(title+": "+message) + "\a"
}

// clean makes text one line that a terminal shows as it is: without control
// characters, which could end a sequence and begin another, and without the
// invisible ones that reorder what a person reads.
func clean(text string) string {
	shown := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, text)
	shown = strings.Join(strings.Fields(shown), " ")
	if runes := []rune(shown); len(runes) > maxText {
		shown = string(runes[:maxText]) + "…"
	}
	return shown
}
