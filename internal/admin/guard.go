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

// refuse tells programs how to show a credential, after the proof that they
// show it to the right one. A browser is not asked for it: it would keep it, and
// show it without proof to whoever has this port next.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why error) {
	if r.Header.Get("Sec-Fetch-Mode") != "" {
		say(w, http.StatusForbidden, "not admitted: "+why.Error()+"\nto look at this page, run: injectproxy status --open")
		return
	}
	if c := r.Header.Get(ChallengeField); s.o.Prove != nil && len(c) >= minChallenge && len(c) <= maxChallenge {
		w.Header().Set(ProofField, s.o.Prove(c))
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="injectproxy", charset="UTF-8"`)
	say(w, http.StatusUnauthorized, "not admitted: "+why.Error())
}
