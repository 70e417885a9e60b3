//go:build !unix

package source

// playTool is not called: the tests with scripted tools are for Unix.
func playTool([]string) {}
