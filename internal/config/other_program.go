package config

// swapped reports that d is the file of the other program: its keys would be so
// many unknown ones, none of which says so.
func (d *document) swapped(key, without string, what, hint string) bool {
	t := d.top()
	_, there := t.keys[key]
	if _, own := t.keys[without]; own || !there {
		return false
	}
	t.errorf(t.at(key), "%s", what).hint("%s", hint)
	return true
}

// ofGate reports that d, read as a config.toml, is a gate.toml.
func (d *document) ofGate() bool {
	return d.swapped("route", "rule", "[[route]] belongs in a gate.toml: this is no config.toml", "injectproxy gate reads it, injectproxy gate check checks it")
}

// ofProxy reports that d, read as a gate.toml, is a config.toml.
func (d *document) ofProxy() bool {
	return d.swapped("rule", "route", "[[rule]] belongs in a config.toml: this is no gate.toml", "injectproxy serve reads it, injectproxy check checks it")
}
