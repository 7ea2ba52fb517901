package numbersfile

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// slowDisk is a disk whose sync takes a while and may fail.
type slowDisk struct {
	disk
	err   error
	syncs atomic.Int64
	most  *atomic.Int64 // how many were synced at the same time, at most
	now   *atomic.Int64
}

func (d *slowDisk) Sync() error {
	d.syncs.Add(1)
	now := d.now.Add(1)
	defer d.now.Add(-1)
	for most := d.most.Load(); now > most && !d.most.CompareAndSwap(most, now); most = d.most.Load() {
	}
	time.Sleep(time.Millisecond)
	return d.err
}

// syncing is some disks that are synced together, each by a goroutine of its own.
type syncing struct {
	*shared
	disks     []*slowDisk
	most, now atomic.Int64
	all       atomic.Int64 // syncs of the file system
	allErr    error
	allTakes  time.Duration
}

func newSyncing(disks int) *syncing {
	s := &syncing{shared: &shared{syncs: make(chan struct{}, maxSyncs)}, allTakes: time.Millisecond}
	s.system = &fileSystem{sync: func() error {
		s.all.Add(1)
		time.Sleep(s.allTakes)
		return s.allErr
	}}
	for range disks {
		s.disks = append(s.disks, &slowDisk{most: &s.most, now: &s.now})
	}
	return s
}

// sync syncs the first n disks at the same time, and returns the errors.
func (s *syncing) sync(n int) []error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = s.syncInRounds(s.disks[i]) })
	}
	running.Wait()
	return errs
}

// counts returns how often the disks were synced one by one, and all of them.
func (s *syncing) counts() (one, all int64) {
	for _, d := range s.disks {
		one += d.syncs.Swap(0)
	}
	return one, s.all.Swap(0)
}

func TestFilesAreSyncedInRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(100)
		for n, want := range map[int][2]int64{
			1:            {1, 0},
			2:            {2, 0},
			1 + fewFiles: {1 + fewFiles, 0}, // the first, and a round of the others
			2 + fewFiles: {1, 1},
			100:          {1, 1},
		} {
			began := time.Now()
			for i, err := range s.sync(n) {
				if err != nil {
					t.Errorf("file %d of %d: %v", i, n, err)
				}
			}
			if one, all := s.counts(); one != want[0] || all != want[1] || time.Since(began) > 2*time.Millisecond {
				t.Errorf("%d files took %d syncs of files, %d of all, and %v", n, one, all, time.Since(began))
			}
			synctest.Wait()
			s.mu.Lock()
			if s.running || s.next != nil {
				t.Errorf("after %d files, a round is still running", n)
			}
			s.mu.Unlock()
		}
	})
}

// After a fault of the file system each file is synced alone to find out whether
// it has the fault: also one that waited for the next round when the fault was
// reported to this one.
func TestAFaultIsThatOfItsFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(40)
		bad := s.disks[7]
		bad.err = syscall.EIO
		s.allErr = syscall.EIO
		for i, err := range s.sync(40) {
			if (i == 7) != errors.Is(err, syscall.EIO) && err != nil {
				t.Errorf("file %d: %v", i, err)
			}
		}
		if one, all := s.counts(); one != 40 || all != 1 {
			t.Errorf("%d syncs of files, %d of all", one, all)
		}
		if most := s.most.Load(); most > maxSyncs {
			t.Errorf("%d files were synced at the same time", most)
		}
		s.allErr = nil
		if errs := s.sync(40); !errors.Is(errs[7], syscall.EIO) {
			t.Errorf("the fault is reported as %v", errs[7])
		}
		if one, all := s.counts(); one != 40 || all != 0 {
			t.Errorf("after a fault there are %d syncs of files, %d of all", one, all)
		}
	})
}

// A file system on which another program writes much is not synced for a while.
func TestASlowFileSystemIsNotSynced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(100)
		expect := func(one, all int64) {
			t.Helper()
			s.sync(100)
			if gotOne, gotAll := s.counts(); gotOne != one || gotAll != all {
				t.Errorf("%d syncs of files, %d of all, want %d and %d", gotOne, gotAll, one, all)
			}
		}
		s.allTakes = slowSync // no longer than the files would take
		expect(1, 1)
		expect(1, 1)
		s.allTakes = slowLimit - slowSync - time.Millisecond
		expect(1, 1)
		s.allTakes = slowSync // with a break
		expect(1, 1)
		s.allTakes = slowLimit - slowSync - time.Millisecond
		expect(1, 1)
		s.allTakes = 2 * slowSync // and then without
		expect(1, 1)
		expect(100, 0)
		time.Sleep(slowTime - 100*time.Millisecond)
		expect(100, 0)
		time.Sleep(100 * time.Millisecond)
		s.allTakes = slowLimit
		expect(1, 1)
		s.allTakes = time.Millisecond
		expect(100, 0)
		time.Sleep(slowTime)
		expect(1, 1)
		expect(1, 1)
	})
}

// Syncing the file system is slow if it takes longer than slowSync and longer than
// syncing its files one after the other.
func TestWhichSyncsAreSlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		files        int64
		single, took time.Duration
		slow         bool
	}{
		{20, time.Millisecond, slowSync, false},
		{20, time.Millisecond, slowSync + 1, true},
		{20, 10 * time.Millisecond, 4 * slowSync, false},
		{20, 10 * time.Millisecond, 4*slowSync + 1, true},
		{20, 10 * time.Millisecond, slowSync + 1, false},
		{20, 0, slowSync - 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSyncing(0)
			s.single.Store(int64(tt.single))
			s.allTakes = tt.took
			r := &round{begun: make(chan struct{})}
			r.files.Store(tt.files)
			s.syncSystem(r)
			if (s.slow > 0) != tt.slow {
				t.Errorf("%d files of %v each, together %v: it is slow is %v, want %v", tt.files, tt.single, tt.took, !tt.slow, tt.slow)
			}
		})
	}
}

// A file on another file system is not synced with that of the directory.
func TestAFileElsewhereIsSyncedByItself(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(1)
		for _, here := range []bool{true, false} {
			s.system.has = func(os.FileInfo) bool { return here }
			s.running = true // so that a file that takes part in rounds waits
			synced := make(chan error, 1)
			go func() { synced <- s.syncer(info)(s.disks[0]) }()
			time.Sleep(time.Minute)
			if waits := len(synced) == 0; waits != here {
				t.Errorf("a file that is here, %v, waits for a round: %v", here, waits)
			}
			s.begin()
			<-synced
		}
	})
}
