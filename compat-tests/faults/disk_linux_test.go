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

	"counting/compat-tests/results"
	"counting/compat-tests/subject"
	"counting/server/numbersfile"

	"golang.org/x/sys/unix"
)

// disk mounts a tmpfs of that size where a server's data are to be.
func disk(t *testing.T, size string) subject.Place {
	t.Helper()
	place := subject.NewPlace(t)
	must(t, unix.Mount("numbers", place.Dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { unix.Unmount(place.Dir, unix.MNT_DETACH) })
	return place
}

// counting starts two clients.
func counting(t *testing.T, place subject.Place) []*subject.Program {
	return []*subject.Program{
		subject.Go.Start(t, place.URL(), 5*time.Millisecond, math.MaxInt32),
		subject.Go.Start(t, place.URL(), 5*time.Millisecond, math.MaxInt32),
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestDisks(t *testing.T) {
	t.Parallel()
	table := results.New(t, "disk", "fault", "what the server does", "lines before", "when all is good again")

	t.Run("full_and_freed_again", func(t *testing.T) {
		t.Parallel()
		place := disk(t, "128k")
		ballast := filepath.Join(place.Dir, "ballast")
		server := place.GoServer(t)
		clients := counting(t, place)
		var fills int
		for ; fills < 3; fills++ {
			grows(t, place)
			free := 4096 * fills // not always at the same place in a line
			for size := 128<<10 - free; os.WriteFile(ballast, bytes.Repeat([]byte("x"), size), 0o666) != nil; {
				size -= 4096
			}
			waitFor(t, "the server not to be ready", func() bool { return status(t, server.URL+"/ready") == http.StatusServiceUnavailable })
			if got := status(t, server.URL+"/health"); got != http.StatusOK {
				t.Errorf("a full disk: /health answers %d", got)
			}
			allAckedIsThere(t, place, clients)
			must(t, os.Remove(ballast))
			waitFor(t, "the server to be ready", func() bool { return status(t, server.URL+"/ready") == http.StatusOK })
		}
		before := lines(t, place)
		grows(t, place)
		allAckedIsThere(t, place, clients)
		for _, c := range clients {
			if strings.Count(c.Output(), "Connected to server!") != 1 {
				t.Errorf("%s lost its connection:\n%s", c, c.Output())
			}
		}
		table.Row(fmt.Sprintf("a disk that is full, and freed again, %d times", fills), "alive, not ready, acks nothing", before, "goes on by itself, on the same connections")
	})

	t.Run("read-only_at_the_start", func(t *testing.T) {
		t.Parallel()
		place := disk(t, "1m")
		server := place.GoServer(t)
		clients := counting(t, place)
		grows(t, place)
		server.Kill()
		before := lines(t, place)
		must(t, unix.Mount("", place.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		failing := place.GoServerThatFails(t)
		if code, out := failing.WaitEnd(), failing.Output(); code != 1 || !strings.Contains(out, "read-only file system") || !strings.Contains(out, "-data") {
			t.Errorf("on a read-only disk the server ends with %d:\n%s", code, out)
		}
		must(t, unix.Mount("", place.Dir, "", unix.MS_REMOUNT, ""))
		place.GoServer(t)
		grows(t, place)
		allAckedIsThere(t, place, clients)
		table.Row("a disk that is read-only when it starts", "says so and exits with 1, until it is started on a good one", before, "goes on with the next start")
	})

	for name, change := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"replaced by the file of an earlier day": func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".old", []byte("one\ntwo\nthree\n"), 0o666))
			must(t, os.Rename(path+".old", path))
		},
		"cut within a line": func(t *testing.T, path string) { must(t, os.Truncate(path, 10)) },
		"moved away with its directory": func(t *testing.T, path string) {
			must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".away"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := disk(t, "1m")
			place.Dir = filepath.Join(place.Dir, "data")
			server := place.GoServer(t)
			clients := counting(t, place)
			grows(t, place)
			before := lines(t, place)
			change(t, filepath.Join(place.Dir, numbersfile.Name))
			if code, out := server.WaitEnd(), server.Output(); code != 1 || !strings.Contains(out, "was changed, replaced or deleted under the running server") {
				t.Errorf("the server ends with %d:\n%s", code, out)
			}
			place.GoServer(t)
			// What the file no longer holds the clients have counted, and their
			// next numbers say so.
			waitFor(t, "the count to be where it was", func() bool { return lines(t, place) >= before+10 })
			allAckedIsThere(t, place, clients)
			table.Row("the file is "+name, "acks nothing more, says so and exits with 1", before, "with the next start the lines are there again, and the count goes on")
		})
	}
}
