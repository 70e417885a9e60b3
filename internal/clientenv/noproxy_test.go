package clientenv

import (
	"slices"
	"testing"
)

func TestEntryThatAnyClientTakesForARuleIsLifted(t *testing.T) {
	tests := []struct {
		entry, authority string
		want             bool
	}{
		{"*", "mcp.corp.example:443", true},
		{"mcp.corp.example", "mcp.corp.example:443", true},
		{"MCP.Corp.Example.", "mcp.corp.example:443", true},
		{"corp.example", "mcp.corp.example:443", true},
		{".corp.example", "mcp.corp.example:443", true},
		{"*.corp.example", "mcp.corp.example:443", true},
		{"*corp.example", "mcp.corp.example:443", true},
		{"*p.example", "mcp.corp.example:443", true},
		{"mcp.*.example", "mcp.corp.example:443", true},
		{"*.*", "mcp.corp.example:443", true},
		{".mcp.corp.example", "mcp.corp.example:443", true}, // curl ignores the dot
		{"mcp.corp.example:443", "mcp.corp.example:443", true},
		{"corp.example:443", "mcp.corp.example:443", true},
		{"mcp.corp.example:8443", "mcp.corp.example:443", false},
		{"mcp.corp.example:443", "mcp.corp.example:8443", false},
		{"https://mcp.corp.example", "mcp.corp.example:443", true},
		{"all://*.corp.example/", "mcp.corp.example:443", true},
		{"http://mcp.corp.example", "mcp.corp.example:443", false},
		{"orp.example", "mcp.corp.example:443", false},
		{"cp.corp.example", "mcp.corp.example:443", false},
		{"mcp.corp.example.org", "mcp.corp.example:443", false},
		{"x.mcp.corp.example", "mcp.corp.example:443", false},
		{"mcp.*.exampl", "mcp.corp.example:443", false},
		{"other.*.example", "mcp.corp.example:443", false},
		{"mcpXcorp.example", "mcp.corp.example:443", false},
		{"m*p.c*p.e*e", "mcp.corp.example:443", true},
		{"mcp*mcp.corp.example", "mcp.corp.example:443", false}, // no byte counts twice
		{"corp*", "mcp.corp.example:443", true},                 // below *.corp…, as other names
		{"orp*", "mcp.corp.example:443", false},
		{"10.0.0.0/8", "mcp.corp.example:443", false},
		{"10.0.0.1", "10.0.0.1:443", true},
		{"10.0.0.1:443", "10.0.0.1:443", true},
		{"10.0.0.1:80", "10.0.0.1:443", false},
		{"10.0.0.0/8", "10.1.2.3:443", true},
		{"10.0.0.0/16", "10.1.2.3:443", false},
		{"10.1.*", "10.1.2.3:443", true},
		{"10.1", "10.1.2.3:443", false},
		{"2001:db8::/32", "[2001:db8::1]:443", true},
		{"2001:db8::1", "[2001:db8::1]:443", true},
		{"[2001:0DB8::1]", "[2001:db8::1]:443", true},
		{"[2001:db8::1]:443", "[2001:db8::1]:443", true},
		{"[2001:db8::1]:8443", "[2001:db8::1]:443", false},
		{"2001:db8::2", "[2001:db8::1]:443", false},
		{"::ffff:10.0.0.1", "10.0.0.1:443", true},
		{".", "mcp.corp.example:443", false},
		{":443", "mcp.corp.example:443", false},
		{"[", "mcp.corp.example:443", false},
		{"localhost", "mcp.corp.example:443", false},
	}
	for _, tt := range tests {
		if got := covers(tt.entry, tt.authority); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.entry, tt.authority, got)
		}
	}
}

func TestNoProxyIsKeptButForWhatCoversARule(t *testing.T) {
	const local = "localhost,127.0.0.1,::1,[::1]"
	tests := []struct {
		name         string
		upper, lower string
		authorities  []string
		kept         string
		lifted       []string
	}{
		{"nothing", "", "", []string{"a.example:443"}, local, nil},
		{"kept in order", "b.example , 10.0.0.0/8\tc.example", "", []string{"a.example:443"}, "b.example,10.0.0.0/8,c.example," + local, nil},
		{"lifted", "b.example,.example", "", []string{"a.example:443"}, "b.example," + local, []string{".example"}},
		{"two lists", "b.test,x.example", "x.example,c.test,b.test", []string{"x.example:443"}, "b.test,c.test," + local, []string{"x.example"}},
		{"loopback once", "127.0.0.1,localhost", "", nil, "127.0.0.1,localhost,::1,[::1]", nil},
		{"everything, no rule", "*", "", nil, "*," + local, nil},
		{"everything", "*", "", []string{"a.example:443"}, local, []string{"*"}},
		{"a rule for loopback", "localhost", "", []string{"localhost:8443"}, "127.0.0.1,::1,[::1]", []string{"localhost"}},
	}
	for _, tt := range tests {
		kept, lifted := without(tt.authorities, tt.upper, tt.lower)
		if kept != tt.kept || !slices.Equal(lifted, tt.lifted) {
			t.Errorf("%s: kept %q, lifted %q", tt.name, kept, lifted)
		}
	}
}

// FuzzCovers: whatever stands in NO_PROXY, nothing panics, and what is kept
// covers no rule.
func FuzzCovers(f *testing.F) {
	for _, s := range []string{"*", "a.*.b,[::1]:1,10.0.0.0/8", "https://a:b@c", "*.*.*", "\x00,\xff", "[]:,::,[:", "*a*", "*\xff*", "m*p.*orp.e*e", "mcp*mcp.corp.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		rules := []string{"mcp.corp.example:443", "10.0.0.1:8443", "[2001:db8::1]:443"}
		kept, _ := without(rules, list)
		for _, entry := range entries(kept) {
			for _, rule := range rules {
				if covers(entry, rule) {
					t.Errorf("%q was kept and covers %s", entry, rule)
				}
			}
		}
	})
}
