package admin

import "net/http"

// guarded answers who is admitted, or has a cookie from [Server.enter].
func (s *Server) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.passes.has(r) {
			next(w, r)
			return
		}
		if err := s.admit(r); err != nil {
			s.refuse(w, r, err)
			return
		}
		next(w, r)
	}
}

func (s *Server) admit(r *http.Request) error {
	return r.Context().Value(admitKey{}).(func([]string) error)(r.Header["Authorization"])
}

// refuse tells programs to show a credential, after the proof that they show it
// to the right one. A browser is not asked for it: it would keep it, and show it
// without proof to whoever has this port next. By a network address browsers do
// not say that they are browsers, so the challenge is one that none knows what
// to do with; a credential that is shown as Basic is as good.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why error) {
	text := "not admitted: " + why.Error() + "\nto look at this page, run: injectproxy status --open"
	if r.Header.Get("Sec-Fetch-Mode") != "" {
		say(w, http.StatusForbidden, text)
		return
	}
	if c := r.Header.Get(ChallengeField); s.o.Prove != nil && len(c) >= minChallenge && len(c) <= maxChallenge {
		w.Header().Set(ProofField, s.o.Prove(c))
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="injectproxy"`)
	say(w, http.StatusUnauthorized, text)
}
