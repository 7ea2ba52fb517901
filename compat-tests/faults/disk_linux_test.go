package faults

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
	"counting/server/numbersfile"

	"golang.org/x/sys/unix"
)

// disk returns a deployment whose data directory is a tmpfs of that size.
func disk(t *testing.T, size string) harness.Deployment {
	t.Helper()
	deployment := harness.NewDeployment(t)
	must(t, unix.Mount("numbers", deployment.Dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { unix.Unmount(deployment.Dir, unix.MNT_DETACH) })
	return deployment
}

// counting starts two clients.
func counting(t *testing.T, deployment harness.Deployment) []*harness.Program {
	return []*harness.Program{
		harness.Go.Start(t, deployment.URL(), 5*time.Millisecond, math.MaxInt32),
		harness.Go.Start(t, deployment.URL(), 5*time.Millisecond, math.MaxInt32),
	}
}

func status(t *testing.T, url string) int { return harness.Get(t, url).Status }

func TestDisks(t *testing.T) {
	t.Parallel()
	table := results.New(t, "disk", "fault", "what the server does", "lines before", "after the fault")

	t.Run("full_and_freed_again", func(t *testing.T) {
		t.Parallel()
		deployment := disk(t, "128k")
		ballast := filepath.Join(deployment.Dir, "ballast")
		server := deployment.GoServer(t)
		clients := counting(t, deployment)
		var fills int
		for ; fills < 3; fills++ {
			grows(t, deployment)
			free := 4096 * fills // at different positions in a line
			for size := 128<<10 - free; os.WriteFile(ballast, bytes.Repeat([]byte("x"), size), 0o666) != nil; {
				size -= 4096
			}
			harness.WaitFor(t, "the server not to be ready", func() bool { return status(t, server.URL+"/ready") == http.StatusServiceUnavailable })
			if got := status(t, server.URL+"/health"); got != http.StatusOK {
				t.Errorf("with a full disk /health answers %d", got)
			}
			checkAcked(t, deployment, clients)
			must(t, os.Remove(ballast))
			harness.WaitFor(t, "the server to be ready", func() bool { return status(t, server.URL+"/ready") == http.StatusOK })
		}
		before := lines(t, deployment)
		grows(t, deployment)
		checkAcked(t, deployment, clients)
		for _, c := range clients {
			if strings.Count(c.Output(), "Connected to server!") != 1 {
				t.Errorf("%s lost its connection:\n%s", c, c.Output())
			}
		}
		table.Row(fmt.Sprintf("a full disk, in which space is freed again, %d times", fills), "is alive but not ready, and acks nothing", before, "the count continues on the same connections")
	})

	t.Run("read-only_at_the_start", func(t *testing.T) {
		t.Parallel()
		deployment := disk(t, "1m")
		server := deployment.GoServer(t)
		clients := counting(t, deployment)
		grows(t, deployment)
		server.Kill()
		before := lines(t, deployment)
		must(t, unix.Mount("", deployment.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		failing := deployment.StartGoServer(t)
		if code, out := failing.WaitEnd(), failing.Output(); code != 1 || !strings.Contains(out, "read-only file system") || !strings.Contains(out, "-data") {
			t.Errorf("on a read-only disk the server ends with %d:\n%s", code, out)
		}
		must(t, unix.Mount("", deployment.Dir, "", unix.MS_REMOUNT, ""))
		deployment.GoServer(t)
		grows(t, deployment)
		checkAcked(t, deployment, clients)
		table.Row("a disk that is read-only at the start", "logs an error and exits with 1", before, "the count continues with the next start")
	})

	for name, change := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"replaced by an older file": func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".old", []byte("one\ntwo\nthree\n"), 0o666))
			must(t, os.Rename(path+".old", path))
		},
		"truncated within a line": func(t *testing.T, path string) { must(t, os.Truncate(path, 10)) },
		"moved with its directory": func(t *testing.T, path string) {
			must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".away"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deployment := disk(t, "1m")
			deployment.Dir = filepath.Join(deployment.Dir, "data")
			server := deployment.GoServer(t)
			clients := counting(t, deployment)
			grows(t, deployment)
			before := lines(t, deployment)
			change(t, filepath.Join(deployment.Dir, numbersfile.Name))
			if code, out := server.WaitEnd(), server.Output(); code != 1 || !strings.Contains(out, "was changed, replaced or deleted under the running server") {
				t.Errorf("the server ends with %d:\n%s", code, out)
			}
			deployment.GoServer(t)
			// The next numbers of the clients show that they have counted what the
			// file no longer has.
			harness.WaitFor(t, "the count to reach what it was", func() bool { return lines(t, deployment) >= before+10 })
			checkAcked(t, deployment, clients)
			table.Row("the file is "+name, "acks nothing more, logs an error and exits with 1", before, "with the next start the lines are restored, and the count continues")
		})
	}
}
