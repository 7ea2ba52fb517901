package numbersfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"counting/server/protocol"
	"counting/server/store"
)

// gamesDir is the directory, within the data directory, that has a directory for
// each game except the default one.
const gamesDir = "games"

// Dir is a data directory: numbers.txt for the default game, and
// games/NAME/numbers.txt for each other one. It is a store.Store for the default
// mode. The directory has one lock, and its files share their buffers.
type Dir struct {
	path     string
	lock     *os.File
	options  Options
	maxGames int
	shared   *shared

	mu     sync.Mutex
	open   map[string]*Count
	kept   int // games in gamesDir, including those that are being opened
	closed bool
}

// newDir returns the Dir of a directory whose lock is held: see OpenShared.
func newDir(path string, held *os.File, maxGames int, options Options) (*Dir, error) {
	d := &Dir{path: path, lock: held, options: options, maxGames: maxGames, shared: newShared(held), open: make(map[string]*Count)}
	games, err := os.ReadDir(filepath.Join(path, gamesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		held.Close()
		return nil, unusable(err)
	}
	d.kept = len(games)
	return d, nil
}

// Count is the count of one game in a Dir. It is a store.Count.
type Count struct {
	*File
	dir    *Dir
	game   string
	path   string
	exists bool // there is a file
	forget func()
}

var errClosed = errors.New("the data directory is closed")

// Open opens the count of a game: see store.Store.
func (d *Dir) Open(ctx context.Context, game string, create bool) (store.Count, error) {
	c := &Count{dir: d, game: game, path: d.file(game)}
	c.forget = sync.OnceFunc(func() { d.forget(c) })
	if err := d.reserve(c, create); err != nil {
		return nil, err
	}
	var file *File
	var err error
	if c.exists || game == store.Default {
		file, err = d.openFile(ctx, c.path, game != store.Default)
	} else {
		file = newFile(d.shared)
		file.writer = &lazyWriter{dir: d, path: c.path}
	}
	d.mu.Lock()
	c.File = file
	if err == nil && d.closed { // in the meantime
		err = errClosed
	}
	d.mu.Unlock()
	switch {
	case file == nil:
		c.forget()
	case err != nil:
		c.Close(ctx)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// file returns the path of a game's numbers.txt.
func (d *Dir) file(game string) string {
	if game == store.Default {
		return filepath.Join(d.path, Name)
	}
	return filepath.Join(d.path, gamesDir, game, Name)
}

// reserve checks that the game may be opened, and marks it as open.
func (d *Dir) reserve(c *Count, create bool) error {
	if c.game != store.Default {
		if err := protocol.CheckGame(c.game); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return errClosed
	case d.open[c.game] != nil:
		return store.ErrInUse
	}
	if c.game != store.Default {
		var err error
		if c.exists, err = d.countGame(c.path, create); err != nil {
			return err
		}
	}
	d.open[c.game] = c
	return nil
}

// countGame adds the game whose file is at path to d.kept, unless it is counted
// already or may not be created, and reports whether the file exists. The caller
// holds d.mu.
func (d *Dir) countGame(path string, create bool) (exists bool, err error) {
	_, err = os.Lstat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return false, unusable(err)
	case missing && !create:
		return false, store.ErrNotFound
	case missing && d.maxGames > 0 && d.kept >= d.maxGames:
		return false, fmt.Errorf("%w: there are %d", store.ErrTooMany, d.kept)
	}
	if _, err := os.Lstat(filepath.Dir(path)); err != nil {
		d.kept++
	}
	return !missing, nil
}

// gameLockWait is how long opening a named game waits for another server that uses
// the same file under another name. Clients wait for it.
const gameLockWait = time.Second

func (d *Dir) openFile(ctx context.Context, path string, named bool) (*File, error) {
	dir, options := d.lock, d.options
	if named {
		options.lockWait = min(options.lockWait, gameLockWait)
		if err := d.makeGameDir(filepath.Dir(path)); err != nil {
			return nil, unusable(err)
		}
		var err error
		if dir, err = openLock(filepath.Dir(path)); err != nil {
			return nil, unusable(err)
		}
		defer dir.Close()
	}
	f, err := open(ctx, path, dir, d.shared, options)
	if err != nil {
		return nil, unusable(err)
	}
	return f, nil
}

// makeGameDir creates the directory of a game, and syncs the name of gamesDir if it
// creates that. openDurable syncs the name of the game's directory.
func (d *Dir) makeGameDir(path string) error {
	err := os.Mkdir(path, 0o777)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(filepath.Dir(path), 0o777); err == nil || errors.Is(err, fs.ErrExist) {
			if err = d.options.syncDir(d.lock); err == nil {
				err = os.Mkdir(path, 0o777)
			}
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// lazyWriter is the writer of a game that has no file yet. It creates the file with
// the first number, so that opening a game does not write to the disk.
type lazyWriter struct {
	dir  *Dir
	path string
	file writer // nil until the file is created
}

func (w *lazyWriter) write(text []byte, retry func(error) bool) (int, error) {
	for w.file == nil {
		file, err := w.dir.openFile(context.Background(), w.path, true)
		switch {
		case err == nil && file.recovery != Recovery{}:
			file.writer.Close()
			return 0, fmt.Errorf("%s %w", w.path, ErrChanged)
		case err == nil:
			w.file = file.writer
		case !retry(err):
			return 0, err
		}
	}
	return w.file.write(text, retry)
}

func (w *lazyWriter) Close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

// forget marks a count as closed, and deletes the file and directory of a game in
// which nothing was counted.
func (d *Dir) forget(c *Count) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.game != store.Default {
		if info, err := os.Lstat(c.path); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			os.Remove(c.path)
		}
		if err := os.Remove(filepath.Dir(c.path)); err == nil || errors.Is(err, fs.ErrNotExist) { // it was empty, or never created
			d.kept--
		}
	}
	delete(d.open, c.game)
}

// Ready returns why counts cannot be written: see store.ReadyWith.
func (d *Dir) Ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make(map[string]error)
	for game, c := range d.open {
		if c.File == nil { // it is being opened
			continue
		}
		if err := c.Ready(); err != nil {
			errs[game] = err
		}
	}
	return store.ReadyWith(errs, len(d.open))
}

// Games lists games: see store.Store. Last is derived from the size of the file; it
// is 0 if the size is not that of an unbroken count.
func (d *Dir) Games(_ context.Context, after string, n int) ([]store.Game, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, gamesDir)) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unusable(err)
	}
	var games []store.Game
	for _, e := range entries {
		if len(games) == n {
			break
		}
		if e.Name() <= after || protocol.CheckGame(e.Name()) != nil {
			continue
		}
		info, err := os.Stat(d.file(e.Name()))
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue
		}
		games = append(games, store.Game{Name: e.Name(), Last: countOfSize(info.Size()), At: info.ModTime()})
	}
	return games, nil
}

// Paths returns the numbers files in a data directory, in the order of the games'
// names: that of the default game first. It takes no lock.
func Paths(dir string) ([]string, error) {
	paths := []string{filepath.Join(dir, Name)}
	entries, err := os.ReadDir(filepath.Join(dir, gamesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if protocol.CheckGame(e.Name()) == nil {
			paths = append(paths, filepath.Join(dir, gamesDir, e.Name(), Name))
		}
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}), nil
}

// Owned returns a channel that is closed: see store.Store.
func (d *Dir) Owned() <-chan struct{} { return alwaysOwned }

var alwaysOwned = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Close closes all counts, and releases the lock: see store.Store.
func (d *Dir) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	var open []*Count
	for _, c := range d.open {
		if c.File != nil {
			open = append(open, c)
		}
	}
	d.mu.Unlock()
	errs := make([]error, len(open))
	var closing sync.WaitGroup
	for i, c := range open {
		closing.Go(func() { errs[i] = c.Close(ctx) })
	}
	closing.Wait()
	err := errors.Join(errs...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) == 0 { // otherwise the lock is held until the process ends
		d.lock.Close()
	}
	return err
}

// Opened returns what was found when the count was opened.
func (c *Count) Opened() store.Opened {
	r := c.recovery
	return store.Opened{Last: r.Last, Unbroken: r.Bad == nil, At: r.At, Text: r.String(), Path: c.path}
}

// Run writes what is appended: see store.Count.
func (c *Count) Run(callbacks store.Callbacks) error {
	return c.File.Run(Callbacks{Callbacks: callbacks})
}

// Close closes the count: see store.Count.
func (c *Count) Close(ctx context.Context) error {
	err := c.File.Close(ctx)
	select {
	case <-c.done:
		c.forget()
	default: // its disk hangs: the game cannot be opened again
	}
	return err
}
