//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestDoctorFindsTheOneThingThatIsWrongAndWhatMendsIt(t *testing.T) {
	t.Parallel()
	entra := startTenants(t)
	for _, list := range [][]brokenWorld{brokenSettings(), brokenTokens(), brokenNetworks(), brokenShells()} {
		for _, w := range list {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				w.examine(t, entra)
			})
		}
	}
}

// rewrite is change, followed by another config.toml.
func rewrite(change func(*patient)) func(*patient) {
	return func(p *patient) { change(p); p.write() }
}

// reset makes the configuration what it was.
func reset(p *patient) { p.usual(); p.write() }

func brokenSettings() []brokenWorld {
	return []brokenWorld{
		{
			name: "no configuration", wrong: func(p *patient) { must(p.t, os.Remove(filepath.Join(p.home, "config.toml"))) },
			check: "config", detail: "there is no config.toml", remedy: "injectproxy init",
		}, {
			name: "misspelt key", wrong: rewrite(func(p *patient) { p.top += "\nlissten = 1" }), mend: reset,
			check: "config", subject: "config.toml:", detail: "lissten",
		}, {
			name: "two rules with one prefix", wrong: rewrite(func(p *patient) { p.tables += rule("https://api.example.test/v1") }), mend: reset,
			check: "config", subject: "config.toml:", detail: "is taken by rule", remedy: "mend ",
		}, {
			name: "PAC file in the configuration", wrong: rewrite(func(p *patient) { p.top = "upstream_proxy = \"http://wpad.test/proxy.pac\"\n" }), mend: reset,
			check: "config", detail: "upstream_proxy", remedy: "a PAC file is not supported",
		}, {
			name: "tenant for a client", entra: true, wrong: rewrite(func(p *patient) {
				p.tables = strings.ReplaceAll(p.tables, apiOne, testTenant)
				p.az.gives("opaque")
			}), mend: func(p *patient) { reset(p); p.az.plays(nil) },
			check: "config", detail: "GUID",
		}, {
			name: "home open to a group", wrong: func(p *patient) { must(p.t, os.Chmod(p.home, 0o770)) },
			check: "home", remedy: "chmod 700 ",
		}, {
			name: "credential open to others", wrong: func(p *patient) {
				file := filepath.Join(p.home, "credential")
				writeTestFile(p.t, file, strings.Repeat("x", 40))
				must(p.t, os.Chmod(file, 0o644))
			},
			check: "home", subject: "credential", remedy: "rm ",
		}, {
			name:  "key open to others",
			wrong: func(p *patient) { must(p.t, os.Chmod(filepath.Join(caDir(p.home), "intermediate.pem"), 0o644)) },
			mend:  func(p *patient) { must(p.t, os.Chmod(filepath.Join(caDir(p.home), "intermediate.pem"), 0o600)) },
			check: "ca", remedy: "chmod 600 ",
		}, {
			name: "rule outside of the CA's constraints", wrong: rewrite(func(p *patient) { p.tables += rule("https://new.example.test/") }),
			check: "ca", subject: "config.toml:", detail: "not for", remedy: "injectproxy ca rotate",
		}, {
			name: "serve with another CA", wrong: func(p *patient) {
				other := newPatient(p.t, nil)
				other.top = p.top
				other.write()
				p.serve().end()
				p.other = startDaemon(p.t, other.home, nil)
			}, mend: func(p *patient) { p.other.end(); p.serve() },
			check: "serve", detail: "does not serve the CA in", remedy: "restart it: injectproxy serve",
		},
	}
}

// gives has az print that token.
func (az *scriptedAz) gives(value string) {
	az.plays(func(r *azRun) {
		if !r.is("account", "get-access-token") {
			az.usual(r)
			return
		}
		r.gives(value)
	})
}

func (r *azRun) gives(value string) {
	if r.is("version") {
		r.ends(`{"azure-cli": "2.80.0"}`, "", 0)
		return
	}
	r.ends(fmt.Sprintf(`{"accessToken": %q, "expires_on": %d}`, value, time.Now().Add(time.Hour).Unix()), "", 0)
}

// issued returns a token of a tenant for an API.
func issued(t testing.TB, a *entratest.Authority, tenant, api string) string {
	t.Helper()
	value, err := a.Issue(entratest.Grant{
		Tenant: tenant, Client: "04b07795-8ddb-461a-bbee-02f9e1bf7b46", Audience: "api://" + api, Scopes: []string{"access_as_user"},
		User: &entratest.User{ObjectID: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", Username: "ada@example.test", Name: "Ada"},
	})
	must(t, err)
	return value
}

func brokenTokens() []brokenWorld {
	says := func(name string) func(*patient) {
		return func(p *patient) { p.az.refuses(azSaid(p.t, name)) }
	}
	// ends has az do as az does once one of its commands was run.
	ends := func(p *patient, part func(*azRun), command string) {
		p.az.plays(func(r *azRun) {
			if r.is(command) {
				p.az.version = "2.80.0" // before the next run begins
				p.az.plays(nil)
				r.ends("", "", 0)
				return
			}
			part(r)
		})
	}
	return []brokenWorld{
		{
			name: "nobody signed in", entra: true, wrong: says("not-signed-in"),
			check: "token", subject: "a", detail: "nobody is signed in", remedy: loginOne,
		}, {
			name: "sign-in over", entra: true, wrong: says("aadsts70043"),
			check: "token", subject: "a", detail: "AADSTS70043", remedy: loginOne,
		}, {
			name: "consent missing", entra: true, wrong: says("aadsts65001"),
			check: "token", subject: "a", detail: "consent to this API is missing; if this does not help, have the API's owner authorise client", remedy: loginOne,
		}, {
			name: "another tenant", entra: true, wrong: func(p *patient) {
				value := issued(p.t, p.entra, secondTenant, apiOne)
				ends(p, func(r *azRun) { r.gives(value) }, "login")
			},
			check: "token", subject: "a", detail: "is of tenant " + secondTenant, remedy: "az login --tenant " + testTenant,
		}, {
			name: "token for another API", entra: true, wrong: func(p *patient) { p.az.gives(issued(p.t, p.entra, testTenant, apiTwo)) },
			mend:  func(p *patient) { p.az.plays(nil) },
			check: "token", subject: "a", detail: apiTwo + ", not for " + apiOne, remedy: "check client_id, resource or scope at ",
		}, {
			name: "no az", entra: true, wrong: func(p *patient) { p.az.plays(func(r *azRun) { r.ends("", "", 127) }) },
			mend:  func(p *patient) { p.az.plays(nil) },
			check: "token", subject: "a", detail: "az lacks a program", remedy: "install az and run az login",
		}, {
			name: "no az where it should be", entra: true, wrong: rewrite(func(p *patient) { p.azPath = "az_path = \"/nowhere/az\"\n" }), mend: rewrite(func(p *patient) { p.azPath = "" }),
			check: "token", subject: "a", detail: "there is no program at entra.az_path", remedy: "check entra.az_path",
		}, {
			name: "old az", entra: true, wrong: func(p *patient) { p.az.version = "2.29.1"; ends(p, p.az.usual, "upgrade") },
			check: "az", subject: "2.29.1", detail: "too old", remedy: "az upgrade",
		}, {
			name: "az that does not know an argument", entra: true, wrong: func(p *patient) {
				said := azSaid(p.t, "unrecognised-argument")
				ends(p, func(r *azRun) {
					if r.is("account") {
						r.ends("", said, 2)
						return
					}
					p.az.usual(r)
				}, "upgrade")
			},
			check: "token", subject: "a", detail: "this version does not know", remedy: "az upgrade",
		}, {
			name: "expired token in a file", wrong: func(p *patient) {
				writeTestFile(p.t, filepath.Join(p.home, "a.token"), "e30."+expiredPayload+".c2ln")
			}, mend: func(p *patient) { p.write() },
			check: "token", subject: "a", detail: "expired",
		},
	}
}

// expiredPayload is {"exp":1000000000}.
const expiredPayload = "eyJleHAiOjEwMDAwMDAwMDB9"

func brokenNetworks() []brokenWorld {
	refuses := func(challenges ...string) func(*patient) {
		return func(p *patient) { p.board.refusal(http.StatusProxyAuthRequired, challenges...) }
	}
	relents := func(p *patient) { p.board.refusal(0) }
	return []brokenWorld{
		{
			name: "proxy wants a password", wrong: refuses(`Basic realm="corp"`), mend: relents,
			check: "proxy", detail: "wants a user and a password", remedy: `upstream_proxy = "http://USER:PASSWORD@`,
		}, {
			name: "NTLM and Negotiate", wrong: refuses("Negotiate", "NTLM"), mend: relents,
			check: "proxy", detail: "wants Negotiate or NTLM, which is not supported", remedy: "run a proxy that speaks it",
		}, {
			name: "wrong password", wrong: func(p *patient) {
				p.top = strings.Replace(p.top, "http://", "http://ada:secret@", 1)
				p.write()
				refuses(`Basic realm="corp"`)(p)
			}, mend: relents,
			check: "proxy", detail: "does not take the user and password", remedy: "put the right ones",
		}, {
			name: "no proxy there", wrong: rewrite(func(p *patient) { p.top = "upstream_proxy = \"http://127.0.0.1:" + freePort(p.t) + "\"" }), mend: reset,
			check: "proxy", detail: "cannot be used", remedy: "check upstream_proxy",
		}, {
			name: "PAC file in the environment", wrong: func(p *patient) {
				p.top = "upstream_proxy = \"env\""
				p.write()
				p.env["HTTPS_PROXY"] = "http://" + p.board.addr + "/proxy.pac"
			}, mend: func(p *patient) { p.env["HTTPS_PROXY"] = "http://" + p.board.addr },
			check: "proxy", detail: "is a PAC file, which is not supported", remedy: "name the proxy that it chooses",
		}, {
			name: "upstream away", wrong: func(p *patient) { p.board.connects("api.example.test:443", "127.0.0.1:"+freePort(p.t)) },
			mend:  func(p *patient) { p.board.connects("api.example.test:443", p.origin) },
			check: "upstream", subject: "api.example.test:443", detail: "502",
		}, {
			name: "certificate of another host", wrong: func(p *patient) {
				p.board.connects("api.example.test:443", newOrigin(p.t, "h1", nil, "elsewhere.example.test").authority)
			}, mend: func(p *patient) { p.board.connects("api.example.test:443", p.origin) },
			check: "upstream", subject: "api.example.test:443", detail: "is for another host",
		}, {
			name: "clock ahead", wrong: func(p *patient) { p.late.Store(90) }, mend: func(p *patient) { p.late.Store(30) },
			check: "clock", detail: "ahead of api.example.test:443", remedy: "sudo ",
		}, {
			name: "clock behind", wrong: func(p *patient) { p.late.Store(-3600) }, mend: func(p *patient) { p.late.Store(0) },
			check: "clock", detail: "behind api.example.test:443", remedy: "sudo ",
		},
	}
}

func brokenShells() []brokenWorld {
	served := func(change func(*patient)) func(*patient) {
		return func(p *patient) { p.serve(); change(p) }
	}
	return []brokenWorld{
		{
			name: "variable missing", wrong: served(func(p *patient) { delete(p.env, "NODE_EXTRA_CA_CERTS") }),
			check: "client", subject: "NODE_EXTRA_CA_CERTS", detail: "not set", remedy: setVariables,
		}, {
			name: "another bundle", wrong: served(func(p *patient) { p.env["GIT_SSL_CAINFO"] = filepath.Join(p.home, "origins.pem") }),
			check: "client", subject: "GIT_SSL_CAINFO", detail: "lacks the CA's root (git)", remedy: setVariables,
		}, {
			name: "bundle that is gone", wrong: served(func(p *patient) { p.env["CURL_CA_BUNDLE"] = "/nowhere.pem" }),
			check: "client", subject: "CURL_CA_BUNDLE", detail: "/nowhere.pem lacks", remedy: setVariables,
		}, {
			name: "proxy set by hand alone", wrong: func(p *patient) { startDaemon(p.t, p.home, nil); p.env["HTTPS_PROXY"] = "http://" + p.listen },
			check: "client", subject: "variables", detail: "SSL_CERT_FILE", remedy: setVariables,
		}, {
			name: "rule's host in NO_PROXY", wrong: served(func(p *patient) { p.env["NO_PROXY"] += ",.example.test" }),
			check: "client", subject: "NO_PROXY", detail: ".example.test", remedy: setVariables,
		},
	}
}
