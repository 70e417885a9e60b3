package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// acceptances are what a client may say that it reads, and whether that is
// JSON.
var acceptances = map[string]struct {
	accept []string // fields
	json   bool
}{
	"Streamable HTTP":         {[]string{"application/json, text/event-stream"}, true},
	"the other way round":     {[]string{"text/event-stream,application/json"}, true},
	"two fields":              {[]string{"text/event-stream", "application/json"}, true},
	"JSON alone":              {[]string{"application/json"}, true},
	"in other case":           {[]string{"Application/JSON"}, true},
	"with parameters":         {[]string{`text/event-stream;q=1, application/json ; charset="utf-8" ; Q=0.1`}, true},
	"all applications":        {[]string{"application/*"}, true},
	"all, and JSON named":     {[]string{"*/*, application/json;q=0.001"}, true},
	"a comma that is quoted":  {[]string{`text/plain;a="\",", application/json`}, true},
	"empty elements":          {[]string{" , ,application/json,"}, true},
	"one kind of JSON but no": {[]string{"application/json, application/json;v=2;q=0"}, true},
	"no field":                {nil, false},
	"empty":                   {[]string{""}, false},
	"everything":              {[]string{"*/*"}, false},
	"everything, weighed":     {[]string{"*/*;q=0.5"}, false},
	"event streams alone":     {[]string{"text/event-stream"}, false},
	"no JSON":                 {[]string{"application/json;q=0, text/event-stream"}, false},
	"no JSON, more exactly":   {[]string{"application/json; q=0.000", "text/event-stream"}, false},
	"any but JSON":            {[]string{"application/*, application/json;q=0"}, false},
	"no applications":         {[]string{"application/*;q=0, */*"}, false},
	"other JSON":              {[]string{"application/json-seq, application/problem+json, text/json"}, false},
	"in a quoted string":      {[]string{`text/plain;a=",application/json,"`}, false},
	"weight that is none":     {[]string{"application/json;q=much"}, false},
	"weight beyond":           {[]string{"application/json;q=-1", "application/json;q=NaN"}, false},
}

// A client of the older transport takes any 200 for "look at your stream", and
// would look there for ever.
func TestErrorIsTheRequestsOnlyForAClientThatReadsIt(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, refusing, "api.example.test")
		tables := fileAudiences + mcpRule(o.url("/refused"))
		tables += strings.Replace(mcpRule(o.url("/none")), `"a"`, `"b"`, 1)
		b := newTestbed(t, settings{tables: tables, files: map[string]string{"a.token": tokenA}})
		c := b.client(client)
		for name, tt := range acceptances {
			for _, path := range []string{"/refused", "/none"} {
				for kind, body := range map[string]io.Reader{"declared": strings.NewReader(callTool("7")), "chunked": undeclared{strings.NewReader(callTool("7"))}} {
					t.Run(name+path+" "+kind, func(t *testing.T) {
						header := []string{"Content-Type", "application/json"}
						for _, field := range tt.accept {
							header = append(header, "Accept", field)
						}
						r := call(t, c, "POST", o.url(path), body, header...)
						if tt.json {
							r.explained(t, "7", http.StatusBadGateway)
							return
						}
						r.problem(t, http.StatusBadGateway)
					})
				}
			}
		}
	})
}
