package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// sidebyside holds all contests that args ask for and tells of them.
func sidebyside(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	all, err := r.holdAll(ctx, os.Stdout)
	if err != nil {
		return err
	}
	if r.profile != "" {
		fmt.Printf("\nprofiles are in %s\n", r.profile)
		return nil
	}
	printTargets(os.Stdout, all)
	return r.write(all)
}

// prepare builds the program, if it takes part and none is given, and sees to
// it that what is asked for can be done.
func (r *rig) prepare(ctx context.Context) (err error) {
	if _, err := usageOf(os.Getpid()); err != nil {
		return err
	}
	for _, w := range r.works {
		if n := w.descriptors(); n > r.files {
			return fmt.Errorf("%s needs %d open files in each process, and the limit is %d: raise it (ulimit -Hn)", w.name, n, r.files)
		}
	}
	takesPart := slices.ContainsFunc(r.contenders, func(p peer) bool { return p.name == injectproxy })
	if takesPart && r.bin == "" {
		r.bin, err = buildProgram(ctx, r.dir, r.profile != "")
	}
	return err
}

// peers returns those that take part and are there.
func (r *rig) peers() (list []peer) {
	for _, p := range r.contenders {
		if _, ok := p.installed(r); ok {
			list = append(list, p)
		}
	}
	return list
}

// holdAll holds one contest after another and prints each one's table when it
// is over. What was found is by work and contender.
func (r *rig) holdAll(ctx context.Context, out io.Writer) (map[string]map[string]series, error) {
	all := map[string]map[string]series{}
	for _, w := range r.works {
		if r.profile != "" && (w.kind == run || w.kind == gobench) {
			continue // no serve runs in them
		}
		found, err := r.hold(ctx, w, func(round int) {
			fmt.Fprintf(os.Stderr, "%s %s: round %d of %d\n", time.Now().Format(time.TimeOnly), w.name, round+1, r.rounds)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		all[w.name] = found
		printTable(out, w, found)
	}
	return all, nil
}

// write writes the files that were asked for.
func (r *rig) write(all map[string]map[string]series) error {
	if r.benchfmt != "" {
		f, err := os.Create(r.benchfmt)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := writeBenchmarks(f, thisMachine(), r.works, all); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if r.md == "" {
		return nil
	}
	return r.report(all).into(r.md)
}
