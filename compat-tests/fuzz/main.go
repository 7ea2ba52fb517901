// Fuzz runs every fuzz target of the module for some time, keeps the interesting inputs
// that the fuzzer finds as seeds, which go test then runs, and writes a table of the
// runs. It is run by make fuzz.
//
//	go run ./compat-tests/fuzz [-time 10m] [-at-once 2] [-only REGEXP] [-results FILE]
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/results"
)

// At most kept inputs of each target are kept, the smallest, of at most keptSize bytes.
const (
	kept     = 40
	keptSize = 2 << 10
)

type target struct{ pkg, dir, name string }

func main() {
	long := flag.Duration("time", 10*time.Minute, "how long to run each target")
	atOnce := flag.Int("at-once", 2, "how many targets to run at the same time, each on one core")
	only := flag.String("only", "", "run only the targets whose package.name matches this `regexp`")
	file := flag.String("results", "", "write the table into this Markdown `file`")
	flag.Parse()
	if err := run(*long, *atOnce, *only, *file); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(long time.Duration, atOnce int, only, file string) error {
	targets, err := list(only)
	if err != nil {
		return err
	}
	rows := make([]string, len(targets))
	failures := make([]error, len(targets))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			rows[i], failures[i] = t.run(long)
			fmt.Println(rows[i])
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil || file == "" {
		return err
	}
	return results.Write(file, "fuzz", results.Stamp()+"\n\n| target | run time | inputs tried | interesting inputs found | failures |\n| --- | --- | --- | --- | --- |\n"+
		strings.Join(rows, "\n")+"\n")
}

// list returns the module's fuzz targets that match.
func list(only string) (targets []target, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{.Dir}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	for line := range strings.Lines(string(out)) {
		pkg, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				if t := (target{pkg, dir, string(m[1])}); wanted.MatchString(t.pkg + "." + t.name) {
					targets = append(targets, t)
				}
			}
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("no target matches %q", only)
	}
	return targets, nil
}

var progress = regexp.MustCompile(`fuzz: elapsed: (\S+), execs: (\d+) .*new interesting: (\d+)`)

// run fuzzes the target and returns its row of the table.
func (t target) run(long time.Duration) (row string, err error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", long.String(), "-parallel", "1", t.pkg)
	out, err := cmd.CombinedOutput()
	elapsed, tried, found := "0s", "0", "0"
	if all := progress.FindAllSubmatch(out, -1); all != nil {
		last := all[len(all)-1]
		elapsed, tried, found = string(last[1]), string(last[2]), string(last[3])
	}
	failures := "0"
	if err != nil {
		failures = "1"
		err = fmt.Errorf("%s.%s: %w\n%s", t.pkg, t.name, err, bytes.TrimSpace(out))
	}
	_, short, _ := strings.Cut(t.pkg, "/")
	row = fmt.Sprintf("| %s.%s | %s | %s | %s | %s |", short, t.name, strings.TrimSuffix(elapsed, ","), tried, found, failures)
	return row, errors.Join(err, t.keep())
}

// keep copies the smallest inputs from Go's cache to the package's testdata.
func (t target) keep() error {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	from := filepath.Join(strings.TrimSpace(string(cache)), "fuzz", t.pkg, t.name)
	to := filepath.Join(t.dir, "testdata", "fuzz", t.name)
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	inputs := make(map[string][]byte)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if len(text) <= keptSize {
			inputs[e.Name()] = text
		}
	}
	names := make([]string, 0, len(inputs))
	for name := range inputs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(inputs[a]), len(inputs[b])), cmp.Compare(a, b))
	})
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	for _, name := range names[:min(kept, len(names))] {
		if err := os.WriteFile(filepath.Join(to, name), inputs[name], 0o666); err != nil {
			return err
		}
	}
	return nil
}
