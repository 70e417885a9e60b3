package proxy

// Explain says what it means that authority could not be reached, or did not
// answer to the end, for err of a [Dialer], of a TLS handshake behind it or of a
// route: what a client would be answered.
func Explain(err error, authority string) *Answer { return answerFor(err, authority) }
