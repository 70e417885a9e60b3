package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// answerFor translates the failure of an upstream leg to authority into what
// the client is told. The text is our own: that of the Go runtime names
// addresses and internals that help nobody.
func answerFor(err error, authority string) *Answer {
	if a, ok := errors.AsType[*Answer](err); ok {
		return a
	}
	a := &Answer{Status: http.StatusBadGateway, Err: err}
	switch {
	case isTimeout(err):
		a.Status = http.StatusGatewayTimeout
		a.Type, a.Title, a.Reason = "upstream-timeout", "The upstream did not answer in time", "connection_timeout"
		a.Detail = authority + " did not accept the connection in time."
		a.Hint = "Check that it is up, the VPN, and whether it needs an upstream proxy."
	case describeCertificate(a, err, authority), describeTLS(a, err, authority), describeDial(a, err, authority):
	default:
		a.Type, a.Title, a.Reason = "upstream-aborted", "The upstream ended the connection", "connection_terminated"
		a.Detail = authority + " ended the connection before its answer was complete."
		a.Hint = "Try again; if it happens each time, the upstream's log may say why."
	}
	return a
}

// describeCertificate fills a if the upstream's certificate was refused.
func describeCertificate(a *Answer, err error, authority string) bool {
	var why string
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		why = "has expired or is not valid yet"
	} else if _, ok := errors.AsType[x509.HostnameError](err); ok {
		why = "is for another host"
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		why = "is signed by an authority that is not trusted here"
	} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.As(err, new(x509.CertificateInvalidError)) {
		why = "could not be verified"
	} else {
		return false
	}
	a.Type, a.Title, a.Reason, a.Final = "upstream-certificate", "The upstream's certificate was refused", "tls_certificate_error", true
	a.Detail = fmt.Sprintf("The certificate of %s %s. Nothing was sent.", authority, why)
	a.Hint = "If the upstream uses a private CA, add its PEM file to upstream_ca in config.toml."
	return true
}

// describeTLS fills a if the handshake with the upstream failed otherwise.
func describeTLS(a *Answer, err error, authority string) bool {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	// crypto/tls has no exported type for most handshake failures: the
	// prefix is what it puts before every text of its own.
	if !record && !strings.Contains(err.Error(), "tls: ") {
		return false
	}
	a.Type, a.Title, a.Reason = "upstream-tls", "The TLS handshake with the upstream failed", "tls_protocol_error"
	a.Detail = authority + " and this proxy could not agree on a TLS connection (TLS 1.2 is the lowest accepted). Nothing was sent."
	a.Hint = "Check that the port is one for https, and which versions of TLS the upstream speaks."
	return true
}

// describeDial fills a if no connection to the upstream came about.
func describeDial(a *Answer, err error, authority string) bool {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		a.Type, a.Title, a.Reason = "upstream-unknown", "The upstream's name was not found", "dns_error"
		a.Detail = fmt.Sprintf("No address is known for %s.", e.Name)
		a.Hint = "Check the spelling, the VPN and the DNS settings."
		return true
	}
	switch {
	case outOfDescriptors(err):
		a.Status = http.StatusServiceUnavailable
		a.Type, a.Title, a.Reason = "out-of-descriptors", "This proxy can open no more connections", "connection_limit_reached"
		a.Detail = "The limit of open files is reached. Nothing was sent to " + authority + "."
		a.Hint = "Raise the limit (ulimit -n, or LimitNOFILE= of a systemd unit), or close what nobody uses."
	case isErrno(err, syscall.ECONNREFUSED, wsaeConnRefused):
		a.Type, a.Title, a.Reason = "upstream-refused", "The upstream refused the connection", "connection_refused"
		a.Detail = "Nothing accepts connections at " + authority + "."
		a.Hint = "Check host and port, and that the upstream is running."
	case isErrno(err, syscall.EHOSTUNREACH, wsaeHostUnreach), isErrno(err, syscall.ENETUNREACH, wsaeNetUnreach):
		a.Type, a.Title, a.Reason = "upstream-unreachable", "The upstream cannot be reached", "destination_ip_unroutable"
		a.Detail = "There is no route to " + authority + "."
		a.Hint = "Check the network, the VPN, and whether it needs an upstream proxy."
	default:
		return false
	}
	return true
}

// outOfDescriptors reports whether err is that no more files can be opened.
func outOfDescriptors(err error) bool {
	return isErrno(err, syscall.EMFILE, wsaeMFile) || errors.Is(err, syscall.ENFILE)
}

// What Windows calls the errors that package syscall has numbers of its own
// for there. No other system has numbers this high.
const (
	wsaeMFile       syscall.Errno = 10024
	wsaeNetUnreach  syscall.Errno = 10051
	wsaeConnRefused syscall.Errno = 10061
	wsaeHostUnreach syscall.Errno = 10065
)

func isErrno(err error, everywhere, windows syscall.Errno) bool {
	return errors.Is(err, everywhere) || errors.Is(err, windows)
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// malformedBody is the answer to a client whose own request body broke off or
// was framed wrongly.
func malformedBody(err error) *Answer {
	return &Answer{
		Status: http.StatusBadRequest, Type: "malformed-request", Title: "The request is malformed", Reason: "http_request_error",
		Detail: "The request's body could not be read to its end.", Final: true, Err: err,
		Hint: "The client broke off, or framed the body wrongly.",
	}
}
