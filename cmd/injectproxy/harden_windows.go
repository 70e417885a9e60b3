package main

// limitCores does nothing: Windows has no such limit.
func limitCores() error { return nil }
