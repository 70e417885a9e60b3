package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile: its continued lines are joined.
type instruction struct{ name, rest string }

// dockerfile returns the instructions of each stage.
func dockerfile(text string) (stages [][]instruction, err error) {
	line := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		part, continued := strings.CutSuffix(l, `\`)
		if line += part; continued {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		line = ""
		if !slices.Contains([]string{"FROM", "WORKDIR", "COPY", "ARG", "RUN", "ENV", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, name) || rest == "" {
			return nil, fmt.Errorf("instruction %q", name)
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		if len(stages) == 0 {
			return nil, fmt.Errorf("%s before FROM", name)
		}
		last := &stages[len(stages)-1]
		*last = append(*last, instruction{name, strings.TrimSpace(rest)})
	}
	if line != "" {
		return nil, fmt.Errorf("the last line is continued: %q", line)
	}
	return stages, nil
}

// single returns the single instruction of that name.
func single(t *testing.T, stage []instruction, name string) string {
	t.Helper()
	found := all(stage, name)
	if len(found) != 1 {
		t.Fatalf("%d times %s", len(found), name)
	}
	return found[0]
}

func all(stage []instruction, name string) (found []string) {
	for _, i := range stage {
		if i.name == name {
			found = append(found, i.rest)
		}
	}
	return found
}

// image returns both stages of the Dockerfile.
func image(t *testing.T) (build, final []instruction) {
	t.Helper()
	b, err := os.ReadFile(deploy + "Dockerfile")
	must(t, err)
	stages, err := dockerfile(string(b))
	must(t, err)
	if len(stages) != 2 {
		t.Fatalf("%d stages", len(stages))
	}
	return stages[0], stages[1]
}

// imageCommand returns what the image runs.
func imageCommand(t *testing.T) (args []string) {
	t.Helper()
	_, final := image(t)
	for _, name := range []string{"ENTRYPOINT", "CMD"} {
		var part []string
		must(t, json.Unmarshal([]byte(single(t, final, name)), &part)) // another form needs a shell
		args = append(args, part...)
	}
	return args
}

func TestImageIsAStaticBinaryThatIsNotRoot(t *testing.T) {
	t.Parallel()
	build, final := image(t)
	if from := single(t, final, "FROM"); !strings.HasPrefix(from, "gcr.io/distroless/static-") || !strings.HasSuffix(from, ":nonroot") {
		t.Errorf("FROM %s", from)
	}
	if user := single(t, final, "USER"); user != "65532:65532" {
		t.Errorf("USER %s", user)
	}
	if run := all(final, "RUN"); run != nil {
		t.Errorf("there is no shell for RUN %q", run)
	}
	runs := strings.Join(all(build, "RUN"), "\n")
	if !strings.Contains(runs, "CGO_ENABLED=0 ") || !strings.Contains(runs, " -o /out/injectproxy ./cmd/injectproxy ") {
		t.Errorf("RUN %s", runs)
	}
	b, err := os.ReadFile("../../go.mod")
	must(t, err)
	if from := single(t, build, "FROM"); !strings.Contains(from, " golang:") || !strings.HasSuffix(from, " AS build") ||
		!strings.Contains(string(b), "\ngo "+strings.TrimSuffix(from[strings.Index(from, "golang:")+7:], " AS build")) {
		t.Errorf("FROM %s does not have the Go of go.mod", from)
	}
}

// What the final stage takes from the first is made there, and lies where the
// command and INJECTPROXY_HOME look.
func TestImageHasWhatItsCommandNeeds(t *testing.T) {
	t.Parallel()
	build, final := image(t)
	made, has := strings.Fields(strings.Join(all(build, "RUN"), " ")), map[string]bool{}
	for _, c := range all(final, "COPY") {
		words := strings.Fields(c)
		from, to := words[len(words)-2], words[len(words)-1]
		if words[0] != "--from=build" || !slices.Contains(made, from) {
			t.Errorf("COPY %s copies what no RUN makes", c)
		}
		has[to] = true
	}
	home, _ := strings.CutPrefix(single(t, final, "ENV"), "INJECTPROXY_HOME=")
	if program := imageCommand(t)[0]; !has[program] || !has[home] || single(t, final, "VOLUME") != home {
		t.Errorf("%s and %s are not both in the image: %v", program, home, has)
	}
	for _, c := range all(build, "COPY") {
		for _, file := range strings.Fields(c)[:len(strings.Fields(c))-1] {
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
				t.Errorf("COPY %s: %v", c, err)
			}
		}
	}
}
