package main

// strangerVar makes the test binary a client of the proxy at that address.
const strangerVar = "INJECTPROXY_TEST_STRANGER"

func strangerMain(addr string) int { return 0 }
