package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// A machine is where a run took place.
type machine struct {
	os, arch, cpu, kernel, toolchain string
	cores                            int
}

func thisMachine() machine {
	m := machine{os: runtime.GOOS, arch: runtime.GOARCH, cpu: "unknown", kernel: "unknown", toolchain: runtime.Version(), cores: runtime.NumCPU()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.cpu = model(string(b))
	}
	if out, err := exec.Command("uname", "-sr").Output(); err == nil {
		m.kernel = strings.TrimSpace(string(out))
	}
	return m
}

// model reads the first CPU's name of /proc/cpuinfo.
func model(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
