package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"

	"github.com/injectproxy/injectproxy/internal/token"
)

var (
	formTarget = regexp.MustCompile(`<form method="POST" name="hiddenform" action="([^"]*)">`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)" />`)
)

// browse is a browser without anybody before it: it goes to page and posts the
// form that it finds there, as a script in it would.
func browse(page, ca string) {
	client := http.Client{Transport: trusting(ca)}
	resp, err := client.Get(page)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	target := formTarget.FindSubmatch(text)
	if target == nil {
		return // it waits for somebody
	}
	form := make(url.Values)
	for _, m := range formField.FindAllSubmatch(text, -1) {
		form.Set(html.UnescapeString(string(m[1])), html.UnescapeString(string(m[2])))
	}
	if _, err := client.PostForm(html.UnescapeString(string(target[1])), form); err != nil {
		panic(err)
	}
}

// signInElsewhere signs in as another process would, and prints what a person
// is told and then whether a token comes.
func signInElsewhere(authority, ca, dir, store string) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := NewDeviceCode(Entra{ClientID: api, Tenant: tenant}, PersonOptions{
		DefaultOptions: DefaultOptions{AuthorityHost: authority, DisableInstanceDiscovery: true, Transport: trusting(ca)},
		Sessions:       newSessions(dir, store, log),
	})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	err = p.SignIn(context.Background(), "", func(message string) { fmt.Println(message) })
	fmt.Println("signed in:", err)
	_, err = p.Token(context.Background(), token.Ask{})
	fmt.Println("token:", err)
}

// trusting returns a transport for whoever has a certificate of ca, a file.
func trusting(ca string) *http.Transport {
	pem, err := os.ReadFile(ca)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}
