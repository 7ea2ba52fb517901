package etcdstore

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"counting/server/store"
)

const (
	simulatedServers = 3
	faultTime        = 10 * time.Second // of a run
	healTime         = 15 * time.Second // in which all games must go on when the faults end

	// twin is the slot of a server that goes on although another one with its name was
	// started in its place.
	twin     = simulatedServers
	allSlots = simulatedServers + 1
)

// server is a simulated one, from its start to its end. It is the register of its
// store.
type server struct {
	*network
	id, slot int
	name     string
	store    *Store // nil until it has started
	cancel   func() // ends the start
	stopping bool
	openings []*opening // that have not ended

	dead   bool             // by network.mu
	parked map[*parcel]bool // by network.mu
}

// opening is a game that a server has opened.
type opening struct {
	*Count
	server   *server
	reported int64 // as written, or found
	ended    bool
	asking   bool // whether it is still the owner
}

// simulation is a run of several servers on one register. All that is random is
// drawn by one goroutine, which lets everything else go one step at a time.
type simulation struct {
	*network
	rng      *rand.Rand
	slots    [allSlots]*server // nil: it does not run
	lost     int               // the slot in which no server starts when the faults end, or -1
	cut      [allSlots]time.Time
	refusing [allSlots]bool // what a server that is cut off meets: errors, or silence
	started  int
	servers  map[string]*server   // that have started, by their secrets
	gone     map[string]time.Time // replica keys: when each was deleted, or made
	refused  map[string]time.Time // when a server heard of another that it refuses connections
	queue    []*parcel
	games    map[string]*history
	names    []string
	writes   int // of the register, that were checked
	faults   bool
	wild     float64 // how many faults there are
	lines    []string
	began    time.Time
	err      error // the first violation

	finished []finished // by network.mu
}

// finished is something that a server has been asked to do, and how it ended.
type finished struct {
	server *server
	what   string
	then   func()
}

func newSimulation(seed uint64) *simulation {
	m := newMemory()
	s := &simulation{network: &network{register: &client{memoryRegister: m}}, games: make(map[string]*history), lost: -1,
		servers: make(map[string]*server), gone: make(map[string]time.Time), refused: make(map[string]time.Time),
		rng: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), faults: true}
	s.wild = []float64{0.2, 1, 3}[s.rng.IntN(3)]
	for _, name := range []string{store.Default, "blue", "green", "red", "grey", "pink"} {
		s.names = append(s.names, name)
		s.games[name] = newHistory()
	}
	for i := range simulatedServers {
		s.start(i)
	}
	return s
}

// run runs the simulation, and returns the first violation.
func (s *simulation) run() error {
	for s.err == nil && time.Since(s.began) < faultTime {
		s.step()
		s.act()
	}
	s.faults = false
	s.log("the faults end")
	if s.slots[twin] != nil {
		s.kill(twin)
	}
	if s.chance(0.3) {
		s.lost = s.rng.IntN(simulatedServers)
		if s.slots[s.lost] != nil {
			s.kill(s.lost)
		}
	}
	s.heal()
	s.stopAll()
	for i, srv := range s.slots {
		if srv != nil {
			s.kill(i)
		}
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); { // what is late still
		s.step()
	}
	return s.err
}

func (s *simulation) log(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf("%9.6f ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

func (s *simulation) violation(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
		s.log("VIOLATION: %v", s.err)
	}
}

func (s *simulation) chance(p float64) bool { return s.rng.Float64() < p }

// between draws a time that no other event has.
func (s *simulation) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// step lets some time pass, and what is due then happen.
func (s *simulation) step() {
	until := time.Now().Add(s.between(1, 25*time.Millisecond))
	for {
		s.collect()
		next := until
		var due *parcel
		for _, p := range s.queue {
			if p.due.Before(next) {
				next, due = p.due, p
			}
		}
		time.Sleep(time.Until(next))
		synctest.Wait()
		if due == nil {
			break
		}
		s.deliver(due)
		synctest.Wait()
	}
	s.collect()
}

// deliver carries out a request, or answers it.
func (s *simulation) deliver(p *parcel) {
	cut := s.isCut(p.from)
	if p.carryOut == nil || p.carried {
		s.queue = slices.DeleteFunc(s.queue, func(q *parcel) bool { return q == p })
		if p.carryOut == nil || !cut && !p.from.isDead() {
			s.log("%v goes on: %.40s", p.from, p.what)
			s.release(p, nil)
		}
		return
	}
	if cut && !p.from.isDead() {
		s.queue = slices.DeleteFunc(s.queue, func(q *parcel) bool { return q == p })
		return
	}
	value, err := s.carry(p)
	s.log("%v: %s: %+v, %v", p.from, p.what, value, err)
	s.checkWrites(p)
	p.due = time.Now().Add(s.delay())
	if s.faults && s.chance(0.02*s.wild) {
		p.due = time.Now().Add(time.Hour) // lost
	}
	if s.faults && s.chance(0.02*s.wild) {
		s.log("%v gets an error in place of an answer: %.40s", p.from, p.what)
		s.release(p, errLost)
	}
}

// delay draws how long a request, an answer or a report is under way.
func (s *simulation) delay() time.Duration {
	if s.faults {
		switch x := s.rng.Float64() / s.wild; {
		case x < 0.01:
			return s.between(300*time.Millisecond, 4*time.Second)
		case x < 0.04:
			return s.between(time.Millisecond, 400*time.Millisecond)
		}
	}
	return s.between(time.Microsecond, 5*time.Millisecond)
}

func (s *simulation) isCut(srv *server) bool { return time.Now().Before(s.cut[srv.slot]) }

// collect looks at what has arrived and finished.
func (s *simulation) collect() {
	synctest.Wait()
	for _, p := range s.take() {
		if p.arrive != nil {
			p.arrive()
		}
		p.due = time.Now().Add(s.delay())
		if p.carryOut == nil {
			s.queue = append(s.queue, p)
			continue
		}
		switch {
		case s.isCut(p.from):
			if s.refusing[p.from.slot] {
				s.release(p, errLost)
			}
		case s.faults && s.chance(0.01*s.wild):
			s.log("%v cannot send %.40s", p.from, p.what)
			s.release(p, errLost)
		case s.faults && p.size == 1 && s.chance(0.01*s.wild):
			s.log("%v is refused %.40s", p.from, p.what)
			s.release(p, errRefused)
		default:
			s.queue = append(s.queue, p)
		}
	}
	synctest.Wait() // for those that were released above
	s.mu.Lock()
	ended := s.finished
	s.finished = nil
	s.mu.Unlock()
	slices.SortStableFunc(ended, func(a, b finished) int {
		return cmp.Or(cmp.Compare(a.server.id, b.server.id), strings.Compare(a.what, b.what))
	})
	for _, f := range ended {
		if !f.server.isDead() {
			s.log("%v: %s", f.server, f.what)
			f.then()
		}
	}
	synctest.Wait()
}

// finish hands something that has finished to the simulation.
func (s *simulation) finish(srv *server, what string, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = append(s.finished, finished{srv, what, then})
}

func (s *server) isDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *server) String() string { return fmt.Sprintf("%s/%d", s.name, s.id) }

// act has something happen.
func (s *simulation) act() {
	i := s.rng.IntN(allSlots)
	srv := s.slots[i]
	game := s.names[s.rng.IntN(len(s.names))]
	if srv == nil {
		if i != twin && s.chance(0.05) {
			s.start(i)
		}
		return
	}
	fault := s.rng.Float64() / s.wild
	switch {
	case fault < 0.003:
		s.kill(i)
	case srv.store == nil || srv.stopping:
	case fault < 0.004:
		s.stop(srv)
	case fault < 0.006 && i != twin && s.slots[twin] == nil:
		s.log("%v is taken for dead", srv)
		s.slots[twin], srv.slot = srv, twin
		s.start(i)
	case fault < 0.008:
		s.cut[i], s.refusing[i] = time.Now().Add(s.between(100*time.Millisecond, 4*time.Second)), s.chance(0.5)
		s.log("%v is cut off until %v", srv, s.cut[i].Sub(s.began))
	case fault < 0.012:
		s.log("the lease of %v ends early", srv)
		s.endLease(srv)
	case fault < 0.013:
		s.log("all leases end")
		for _, other := range s.slots {
			s.endLease(other)
		}
	case fault < 0.017:
		s.log("%v hears that it cannot connect to any other server", srv)
		for _, other := range s.slots {
			if other != nil && other.store != nil {
				s.refused[srv.String()+" "+other.owner()] = time.Now()
				srv.store.Refused(&store.Elsewhere{Addr: other.store.options.Addr, Secret: other.store.options.Secret})
			}
		}
	case s.chance(0.15):
		s.open(srv, game)
	case len(srv.openings) > 0:
		o := srv.openings[s.rng.IntN(len(srv.openings))]
		switch x := s.rng.Float64(); {
		case x < 0.03:
			s.log("%v closes %q", srv, o.game)
			go o.Close(context.Background())
		case x < 0.15:
			s.confirm(o)
		default:
			s.append(o)
		}
	}
	synctest.Wait()
}

func (s *simulation) append(o *opening) {
	upTo := o.Last() + 1 + s.rng.Int64N(4)
	s.log("%v appends %d to %q", o.server, upTo, o.game)
	o.Append(upTo)
}

func (s *simulation) endLease(srv *server) {
	if srv == nil || srv.store == nil {
		return
	}
	srv.store.mu.Lock()
	l := srv.store.lease
	srv.store.mu.Unlock()
	s.register.end(l)
}
