//go:build unix

package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientThatRefusesTheCertificateIsToldOf(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.top += "\nadmin = { listen = \"127.0.0.1:" + freePort(t) + "\" }"
	p.write()
	d := p.serve()
	if findings, status := p.examined(""); status != 0 {
		t.Fatalf("something is wrong before anything is: %+v", findings)
	}
	if s := d.reported(); len(s.Distrusted) != 0 {
		t.Errorf("%+v", s.Distrusted)
	}

	via := &url.URL{Scheme: "http", Host: p.listen}
	stranger := clientOf(t, via, &x509.Certificate{Raw: []byte{}}, "h2")
	if _, err := stranger.Get("https://api.example.test/v1/x"); err == nil {
		t.Fatal("a client without the CA was served")
	}
	d.log.wait(t, "the client does not trust this proxy's CA")
	s := d.reported()
	if len(s.Distrusted) != 1 || s.Distrusted[0].Authority != "api.example.test:443" || s.Distrusted[0].Times != 1 {
		t.Errorf("%+v", s.Distrusted)
	}
	if out, _ := runToEnd(t, d.home, nil, "status"); !strings.Contains(out, "a client refused the certificate for api.example.test:443") || !strings.Contains(out, setVariables) {
		t.Errorf("%s", out)
	}
	findings, status := p.examined("")
	var told []finding
	for _, f := range findings {
		if f.Status == stateFail {
			told = append(told, f)
		}
	}
	if status != 1 || len(told) != 1 || told[0].Check != "client" || told[0].Subject != "api.example.test:443" || told[0].Remedy != setVariables {
		t.Errorf("exit status %d: %+v", status, told)
	}

	// What the remedy gives a client makes it one that is served.
	out, code := p.shell(setVariables + "\ncurl -sS -o /dev/null -w %{http_code} https://api.example.test/v1/x")
	if code != 0 || out != fmt.Sprint(http.StatusOK) {
		t.Fatalf("curl: %d, %s", code, out)
	}
	d.log.wait(t, "msg=request", "status=200")
	if findings, status := p.examined(""); status != 0 {
		t.Errorf("after the remedy: %+v", findings)
	}
}

func TestRefusedCertificateIsNewsForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d distrust
		d.note("a:443")
		d.note("a:443")
		time.Sleep(9 * time.Minute)
		d.note("b:443")
		if l := d.list(time.Now()); len(l) != 2 || l[0].Authority != "a:443" || l[0].Times != 2 {
			t.Errorf("%+v", l)
		}
		time.Sleep(2 * time.Minute)
		if l := d.list(time.Now()); len(l) != 1 || l[0].Authority != "b:443" {
			t.Errorf("%+v", l)
		}
		d.forget("b:443")
		if l := d.list(time.Now()); len(l) != 0 {
			t.Errorf("%+v", l)
		}
		for i := range 1000 {
			d.note(fmt.Sprint(i))
		}
		if n := len(d.list(time.Now())); n != maxDistrust {
			t.Errorf("%d hosts are remembered", n)
		}
	})
}
