package proxy

// Explain says what it means that authority could not be reached, for err of a
// [Dialer] or of a TLS handshake behind it: what a client would be answered.
func Explain(err error, authority string) *Answer { return answerFor(err, authority) }
