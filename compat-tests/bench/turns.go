package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// oneInFlight measures the time to an ack when each number waits for the ack of the one
// before: with one in flight in total, and with one for each seat.
func (b *bench) oneInFlight() error {
	inTurn := func(p *pair) (took []float64, load float64, err error) {
		load, err = loading(func() (err error) {
			took, err = p.turns(b.seconds, 0, nil)
			return err
		})
		return took, load, err
	}
	apart := func(p *pair) ([]float64, float64, error) {
		t, err := p.flow(1, b.seconds, unprofiled)
		return t.took, t.load, err
	}
	all, err := b.latency(inTurn)
	if err != nil {
		return err
	}
	b.table.row("one in flight, the seats in turn, emit to ack, p50", milliseconds, all.p50, all.loads,
		all.againstSyncs(1, "one fdatasync"), all.p50.against(flask, "Flask", true, 0.5))
	b.table.row("the same, p99", milliseconds, all.p99, all.loads, all.p99.below(3, " × its p50", all.p50[goServer]))

	each, err := b.latency(apart)
	if err != nil {
		return err
	}
	// A number may have to wait for the sync before its own.
	b.table.row("one in flight for each seat, emit to ack, p50", milliseconds, each.p50, each.loads, each.againstSyncs(2, "two fdatasyncs"))
	b.table.row("the same, p99", milliseconds, each.p99, each.loads)
	b.notes = append(b.notes, fmt.Sprintf("One fdatasync of a line appended to a file on the same file system took %s (median) during the rows with one in flight, and %s during those with one for each seat.",
		milliseconds(all.sync), milliseconds(each.sync)))
	return nil
}

// latencies are the times to an ack, and of an fdatasync between the measurements.
type latencies struct {
	p50, p99, loads values
	sync            float64
}

// latency calls count for each pair, and returns the times.
func (b *bench) latency(count func(*pair) (took []float64, load float64, err error)) (latencies, error) {
	pairs, err := b.pairs(overWebSocket, goServer, node, packages, synced, bare, flask)
	if err != nil {
		return latencies{}, err
	}
	defer kill(pairs)
	half, slow, loads := make(series), make(series), make(series)
	var syncs []float64
	for rep := range b.reps {
		for _, p := range inTurn(pairs, rep) {
			if err := keepAlive(pairs); err != nil {
				return latencies{}, err
			}
			took, load, err := count(p)
			if err != nil {
				return latencies{}, err
			}
			half.add(p.name, percentile(took, 50))
			slow.add(p.name, percentile(took, 99))
			loads.add(p.name, load)
		}
		took, err := syncing(b.dir, b.seconds/4)
		if err != nil {
			return latencies{}, err
		}
		syncs = append(syncs, percentile(took, 50))
	}
	m := latencies{half.median(), slow.median(), loads.median(), percentile(syncs, 50)}
	return m, end(pairs)
}

// againstSyncs returns the bound of the ratio of the Go server's p50 to that of the bare
// library plus that many syncs.
func (l latencies) againstSyncs(count float64, unit string) []bound {
	if l.p50[goServer] == 0 || l.p50[bare] == 0 {
		return nil
	}
	return []bound{{l.p50[goServer] / (l.p50[bare] + count*l.sync), " × (bare library + " + unit + ")", true, 1, bare}}
}

// syncing appends a line to a file and syncs it, repeatedly for that long, and returns the
// seconds for each.
func syncing(dir string, d time.Duration) (took []float64, err error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		if err := appendAndSync(file); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return took, nil
}

// probeInterval is the time from when one sync of probe is due to when the next one is.
const probeInterval = 5 * time.Millisecond

// probe appends a line to a file and syncs it every probeInterval, until stop is closed, and
// returns the seconds from when each was due to its end: a sync that takes long delays
// those that are due in the meantime, as it delays acks.
func probe(dir string, stop <-chan struct{}) (took []float64, err error) {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for due := time.Now(); ; due = due.Add(probeInterval) {
		select {
		case <-time.After(time.Until(due)):
		case <-stop:
			return took, nil
		}
		if err := appendAndSync(file); err != nil {
			return nil, err
		}
		took = append(took, time.Since(due).Seconds())
	}
}

func appendAndSync(file *os.File) error {
	if _, err := file.WriteString("one thousand, two hundred and thirty-four\n"); err != nil {
		return err
	}
	return dataSync(file)
}
