package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A report is what a reader needs to believe the figures, or to find them
// wrong.
type report struct {
	machine machine
	date    time.Time
	command string
	bound   string      // how long and how often
	peers   [][2]string // who took part, and of what version
	works   []work
	all     map[string]map[string]series
}

func (r *rig) report(all map[string]map[string]series) report {
	rep := report{machine: thisMachine(), date: time.Now(), command: r.command, works: r.works, all: all,
		bound: fmt.Sprintf("%d rounds of %s for each measurement", r.rounds, r.length)}
	for _, p := range r.contenders {
		v, _ := p.installed(r)
		rep.peers = append(rep.peers, [2]string{p.name + ": " + p.about, v})
	}
	return rep
}

// Between these lines a file belongs to the harness. What stands around them is
// written by people, and stays.
const (
	beginMark = "<!-- measured: from here on written by bench/sidebyside -->"
	endMark   = "<!-- measured: to here -->"
)

// into puts the report into a file in place of the one before.
func (r report) into(file string) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text, err := splice(string(old), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// splice returns page with what is between its marks replaced. An empty page
// gets marks; one that has lost them is left alone.
func splice(page, between string) (string, error) {
	if page == "" {
		page = beginMark + "\n" + endMark + "\n"
	}
	before, rest, ok := strings.Cut(page, beginMark)
	if !ok {
		return "", fmt.Errorf("no line is %q: write one where the report belongs", beginMark)
	}
	_, after, ok := strings.Cut(rest, endMark)
	if !ok {
		return "", fmt.Errorf("no line is %q: write one where the report ends", endMark)
	}
	return before + beginMark + "\n\n" + between + "\n" + endMark + after, nil
}

// markdown writes the report.
func (r report) markdown() string {
	var out strings.Builder
	m := r.machine
	fmt.Fprintf(&out, "- machine: %s, %d cores, %s, %s/%s\n", m.cpu, m.cores, m.kernel, m.os, m.arch)
	fmt.Fprintf(&out, "- toolchain: %s\n- date: %s\n- command: `%s`\n- %s; medians\n", m.toolchain, r.date.UTC().Format("2006-01-02 15:04 MST"), r.command, r.bound)
	for _, p := range r.peers {
		fmt.Fprintf(&out, "- %s (%s)\n", p[0], p[1])
	}
	fmt.Fprint(&out, "\n### Targets\n\nRatios are medians of the ratios of each round.\n\n")
	out.WriteString(markdownTable(r.targets()))
	fmt.Fprint(&out, "\n### Figures\n")
	for _, w := range r.works {
		fmt.Fprintf(&out, "\n**%s**: %s\n\n%s", w.name, w.about, markdownTable(rows(w, r.all[w.name])))
		for _, name := range order {
			if err := r.all[w.name][name].err(); err != nil {
				fmt.Fprintf(&out, "\n%s: no result: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
			}
		}
	}
	return out.String()
}

// targets are the rows of all targets, measured or not.
func (r report) targets() [][]string {
	list := [][]string{{"row", "work", "target", "measured", "", "moonshot", "measured", ""}}
	for _, t := range targets() {
		list = append(list, slices.Concat([]string{t.row}, t.line(r.all[t.work])))
	}
	return list
}

func markdownTable(rows [][]string) string {
	var out strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&out, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
	return out.String()
}
