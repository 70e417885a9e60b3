// Package systemd is what a program owes to the systemd that started it: it
// serves the socket that was handed over (sd_listen_fds(3)) and tells when it
// is ready and when it stops (sd_notify(3)).
//
// What systemd says it says in the environment. Both functions take their
// variables out of it, so that no child process thinks it is meant. The package
// refuses a socket that it cannot serve as a proxy's port, instead of opening
// another one that nobody expects.
package systemd
