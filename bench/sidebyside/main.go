// Sidebyside measures this program beside what people use instead, on the same
// work in one run: a blind tunnel, squid's ssl-bump, and goproxy's interception.
// It tells CPU, latency and memory of each, and how the program stands to its
// targets. What is not installed takes no part. It measures on Linux alone, and
// on loopback: see bench/README.md for what that cannot tell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	bin, work, only string
	rounds          int
	length          time.Duration
	md, benchfmt    string
	profile         string
	command         string // that was given, for the report
	works           []work
	contenders      []peer
}

func main() {
	if is, err := subcommand(os.Args[1:]); is {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := sidebyside(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sidebyside:", err)
		os.Exit(1)
	}
}

// parse reads the flags.
func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("sidebyside", flag.ContinueOnError)
	flags.StringVar(&o.bin, "bin", "", "`file` of injectproxy; default is to build it")
	flags.StringVar(&o.work, "work", "", "`names` of works, with commas; default all of them")
	flags.StringVar(&o.only, "peers", "", "`names` of peers, with commas; default all that are installed")
	flags.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flags.DurationVar(&o.length, "d", 3*time.Second, "length of one measurement")
	flags.StringVar(&o.md, "md", "", "Markdown `file` to put a report into, between its two marks")
	flags.StringVar(&o.benchfmt, "benchfmt", "", "`file` for the figures as benchstat reads them")
	flags.StringVar(&o.profile, "profile", "", "`directory` for a CPU and an allocation profile of injectproxy per work; nobody else is measured")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if o.rounds < 1 || o.length <= 0 {
		return o, errors.New("-rounds and -d have to be above zero")
	}
	o.command = strings.Join(append([]string{"go run ./bench/sidebyside"}, args...), " ")
	if o.profile, err = profileDir(o.profile); err != nil {
		return o, err
	}
	if o.profile != "" {
		o.only = injectproxy
	}
	if o.works, err = choose(works(), o.work, func(w work) string { return w.name }); err != nil {
		return o, fmt.Errorf("-work: %w", err)
	}
	if o.contenders, err = choose(peers(), o.only, func(p peer) string { return p.name }); err != nil {
		return o, fmt.Errorf("-peers: %w", err)
	}
	return o, nil
}

// choose returns those of all that names has, or all.
func choose[T interface{ work | peer }](all []T, names string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	var chosen []T
	for n := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(x T) bool { return name(x) == n })
		if i < 0 {
			return nil, fmt.Errorf("%q is none of %s", n, join(all, name))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
