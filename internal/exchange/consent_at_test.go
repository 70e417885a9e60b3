package exchange

import "testing"

func TestWhereToConsentIsOneAddress(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"tenant", "client", "https://login.example/tenant/adminconsent?client_id=client"},
		{"a/b?c", "d&e=f#g", "https://login.example/a%2Fb%3Fc/adminconsent?client_id=d%26e%3Df%23g"},
	} {
		if got := ConsentURL("https://login.example", c[0], c[1]); got != c[2] {
			t.Errorf("%s, want %s", got, c[2])
		}
	}
}
