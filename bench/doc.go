// Package bench holds what the program's speed is judged by: Go benchmarks of
// its parts in this directory, and in sidebyside the program itself beside what
// people use instead. README.md says how to run both and what they cannot tell.
// Nothing here is part of a program that is shipped.
package bench
