package ca

// inherit does nothing: what is made in a directory inherits its access here.
func inherit(string) error { return nil }
