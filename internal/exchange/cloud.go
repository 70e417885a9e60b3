package exchange

import (
	"slices"
	"strings"
)

// clouds are the hosts of Microsoft's authorities. Those of one cloud are names of
// the same.
//
// https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
var clouds = [][]string{
	{"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"},
	{"login.microsoftonline.us", "login.usgovcloudapi.net"},
	{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
}

// graphs are the hosts of Microsoft Graph.
//
// https://learn.microsoft.com/graph/deployments
var graphs = []string{"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"}

// isAuthoritys reports whether host, which the authority named, may be shown a
// credential and users' tokens: whose they are is not for an answer to say.
func isAuthoritys(authority, host string) bool {
	authority, host = plainHost(authority), plainHost(host)
	return host == authority || slices.ContainsFunc(clouds, func(names []string) bool {
		return slices.Contains(names, authority) && slices.Contains(names, host)
	})
}

// isGraph reports whether host, which the authority named, may be shown the
// application's token for Microsoft Graph. Where there is no other Graph, the
// authority may have one itself.
func isGraph(authority, host string) bool {
	return slices.Contains(graphs, plainHost(host)) || plainHost(host) == plainHost(authority)
}

// plainHost returns a host of an https URL as it is compared.
func plainHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }
