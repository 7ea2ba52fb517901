package live

import (
	"net/http"
	"net/netip"
	"sync"

	"counting/server/clientaddr"
)

// Limits bound the concurrent readers of the stream and downloads of the file. 0 means
// no limit.
type Limits struct {
	Readers    int // in total
	PerAddress int // from one address; for IPv6, one /64
	PerGame    int // of one game whose feed is sparse
}

// Limit names a limit that was reached.
type Limit string

// The limits.
const (
	LimitReaders           Limit = "readers"
	LimitReadersPerAddress Limit = "readers_per_address"
	LimitReadersPerGame    Limit = "readers_per_game"
)

// AllLimits lists every Limit.
var AllLimits = [...]Limit{LimitReaders, LimitReadersPerAddress, LimitReadersPerGame}

// limiter bounds the requests that are served at the same time.
type limiter struct {
	limits  Limits
	onLimit func(Limit) // may be nil
	trusted clientaddr.Trusted

	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
	of   map[*Feed]int // sparse feeds
}

// acquire counts a request, or refuses it and returns nil. The caller must call release
// after serving the request.
func (l *limiter) acquire(w http.ResponseWriter, r *http.Request, of *Feed) (release func()) {
	from := clientaddr.Key(l.trusted.Of(r))
	limit := l.add(from, of)
	if limit == "" {
		return func() { l.remove(from, of) }
	}
	if l.onLimit != nil {
		l.onLimit(limit)
	}
	w.Header().Set("Retry-After", "5")
	switch limit {
	case LimitReaders:
		http.Error(w, "too many readers of the count; try again later", http.StatusServiceUnavailable)
	case LimitReadersPerGame:
		http.Error(w, "too many readers of this game; try again later", http.StatusServiceUnavailable)
	default:
		http.Error(w, "too many readers of the count from one address; close some", http.StatusTooManyRequests)
	}
	return nil
}

// add counts a request, or returns the limit that is reached.
func (l *limiter) add(from netip.Addr, of *Feed) Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.limits.Readers > 0 && l.all >= l.limits.Readers:
		return LimitReaders
	case l.limits.PerAddress > 0 && l.from[from] >= l.limits.PerAddress:
		return LimitReadersPerAddress
	case of.sparse && l.limits.PerGame > 0 && l.of[of] >= l.limits.PerGame:
		return LimitReadersPerGame
	}
	if l.from == nil {
		l.from, l.of = make(map[netip.Addr]int), make(map[*Feed]int)
	}
	l.all++
	l.from[from]++
	if of.sparse {
		l.of[of]++
	}
	return ""
}

func (l *limiter) remove(from netip.Addr, of *Feed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
	if of.sparse {
		if l.of[of]--; l.of[of] == 0 {
			delete(l.of, of)
		}
	}
}

func (l *limiter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
