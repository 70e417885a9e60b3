package source

import (
	"context"
	"errors"
	"net/url"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/token"
)

// SignIn implements [Interactive]. It is bounded by ctx alone, and by the
// lifetime of a device code, which is about 15 minutes. Another sign-in of p
// waits for it.
//
// It fails with [token.SignIn] if nobody signs in in time, and with
// [token.NotInstalled] if there is no browser.
func (p *Person) SignIn(ctx context.Context, claims string, tell func(message string)) error {
	t := &teller{tell: tell}
	defer t.stop()
	err, ok := await(ctx, p.signIns, func(ctx context.Context) error { return p.interact(ctx, claims, t) })
	if !ok {
		return p.unattended(ctx)
	}
	return err
}

func (p *Person) interact(ctx context.Context, claims string, t *teller) (err error) {
	defer func() {
		if recover() != nil {
			err = p.fail(panicked)
		}
	}()
	o, err := p.request(claims)
	if err != nil {
		return err
	}
	credential, err := p.begin(t)
	if err != nil {
		return p.fail(strange)
	}
	h := new(hearing)
	record, err := credential.Authenticate(p.attach(ctx, h), &o)
	if err != nil {
		return p.unfinished(ctx, err, h)
	}
	p.session.adopt(credential, record)
	return nil
}

// begin returns a credential to sign in to. It is a new one, as one that waits
// for a person yields no tokens meanwhile.
func (p *Person) begin(t *teller) (credential, error) {
	cache, _ := p.session.store()
	if p.name == browserName {
		t.say("sign in" + p.where() + ` in the browser that opens now; if none does, use the source "device-code"`)
		return p.session.browser(cache)
	}
	return p.session.device(cache, azidentity.AuthenticationRecord{}, func(_ context.Context, m azidentity.DeviceCodeMessage) error {
		if !presentable(m) {
			return errStrangeCode
		}
		t.say("sign in" + p.where() + ": open " + m.VerificationURL + " in a browser and enter the code " + m.UserCode)
		return nil
	})
}

var errStrangeCode = errors.New("the authority sent a code or page that cannot be shown")

// presentable reports whether code and page may be shown on a terminal. The
// authority's own message might hold anything.
func presentable(m azidentity.DeviceCodeMessage) bool {
	u, err := url.Parse(m.VerificationURL)
	return err == nil && u.Scheme == "https" && u.Host != "" && len(m.VerificationURL) <= 200 && only(m.VerificationURL, "./:_-?=&%~") &&
		m.UserCode != "" && len(m.UserCode) <= 32 && only(m.UserCode, "-")
}

func (p *Person) where() string {
	if p.session.tenant == "" {
		return ""
	}
	return " to tenant " + p.session.tenant
}

// teller passes messages on until it is stopped.
type teller struct {
	mu   sync.Mutex
	tell func(string)
}

func (t *teller) say(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell != nil {
		t.tell(message)
	}
}

func (t *teller) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell = nil
}

// unattended is the failure of a sign-in that ended before anything came of it.
func (p *Person) unattended(ctx context.Context) *token.Error {
	e := p.fail(expired)
	if err := ctx.Err(); err != context.DeadlineExceeded {
		e = p.fail(abandoned)
	}
	if e.Err = ctx.Err(); e.Err == nil {
		e.Err = context.Canceled // by Close
	}
	return e
}
