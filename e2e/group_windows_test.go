package e2e_test

import "os/exec"

// ownGroup leaves cmd as it is: killing it is all that is done here.
func ownGroup(*exec.Cmd) {}
