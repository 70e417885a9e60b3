//go:build !profile

package main

// profile does nothing: see profile.go.
func profile() (end func() error, err error) { return func() error { return nil }, nil }
