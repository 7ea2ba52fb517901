package forwarding

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"counting/server/store"
)

const (
	// dialTimeout is how long connecting to an owner may take.
	dialTimeout = time.Second
	// writeTimeout is how long a client may take to receive what it is sent at one
	// time.
	writeTimeout = 15 * time.Second
	// bufferSize is how much is copied at one time. Each WebSocket has two buffers,
	// and each answer that is being copied one.
	bufferSize = 4 << 10
	// idleConns is how many connections to an owner are kept for the next requests.
	idleConns = 64
	// maxAnswerHeader bounds the header of an answer.
	maxAnswerHeader = 64 << 10
)

// The errors of Forwarder.Forward. They are wrapped, with the owner's name and the
// cause.
var (
	// ErrUnreachable: no connection to the owner could be made.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrRefused: its address refuses connections, so that nobody listens there. It
	// wraps ErrUnreachable.
	ErrRefused = fmt.Errorf("%w: it refuses connections", ErrUnreachable)
	// ErrNotOwner: the server says that it does not own the game.
	ErrNotOwner = errors.New("does not own the game any longer")
	// ErrNoAnswer: the connection broke before the owner answered, or the answer
	// took too long.
	ErrNoAnswer = errors.New("does not answer")
	// ErrTooMany: too many requests are being forwarded.
	ErrTooMany = errors.New("too many requests are being forwarded")
	// ErrIncomplete: the client has not sent all of the request's body.
	ErrIncomplete = errors.New("the body is incomplete")
	// ErrBad: the request or the answer cannot be forwarded.
	ErrBad = errors.New("the request cannot be forwarded")
)

// Outcome is how the forwarding of a request went.
type Outcome string

// The outcomes. But for Answered, each is one of Forward's errors; Abandoned is that
// the client left before the owner answered.
const (
	Answered    Outcome = "answered"
	Unreachable Outcome = "unreachable"
	NotOwner    Outcome = "not_owner"
	NoAnswer    Outcome = "no_answer"
	TooMany     Outcome = "too_many"
	Bad         Outcome = "bad"
	Abandoned   Outcome = "abandoned"
)

// Outcomes lists every Outcome.
var Outcomes = [...]Outcome{Answered, Unreachable, NotOwner, NoAnswer, TooMany, Bad, Abandoned}

// Options are for New.
type Options struct {
	// Most is how many requests may be forwarded at the same time, WebSockets that
	// are open and polls that wait included; 0 is any number.
	Most int
	// AnswerTimeout is how long an owner may take to begin its answer to a request
	// that Forward was given no time for, such as a poll; 0 is any time.
	AnswerTimeout time.Duration
	// Client returns the address of the client that sent a request.
	Client func(*http.Request) netip.Addr
	// Done, if it is not nil, is called once for each request that was forwarded,
	// when its answer begins or it has failed. It must not wait.
	Done func(Outcome)
	// Log, if it is not nil, gets what an operator may want to know.
	Log *slog.Logger
}

// Forwarder forwards requests to other servers. It may be used by any number of
// goroutines.
type Forwarder struct {
	options   Options
	transport *http.Transport
	buffers   buffers
	open      atomic.Int64 // requests that are being forwarded
	errorLog  *log.Logger
}

// New returns a Forwarder, which must be closed after use.
func New(o Options) *Forwarder {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Done == nil {
		o.Done = func(Outcome) {}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: 2 * time.Second, Count: 3}}
	f := &Forwarder{options: o, errorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	f.transport = &http.Transport{ // not through a proxy
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return c, nil
		},
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        30 * time.Second, // less than a server keeps one
		ResponseHeaderTimeout:  o.AnswerTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true, // the client's headers say what it takes
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
	return f
}

// Close closes the connections that no request uses.
func (f *Forwarder) Close() { f.transport.CloseIdleConnections() }

// Open returns how many requests are being forwarded.
func (f *Forwarder) Open() int { return int(f.open.Load()) }

// Forward has another server serve the request, which must not be one that was
// forwarded. The answer, or the WebSocket, is copied until it ends or the client
// leaves. Unless wait is 0, the answer must have begun by then.
//
// An error says that the client was not answered anything. If the request has no
// body it may be forwarded again.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, to *store.Elsewhere, wait time.Duration) error {
	if open := f.open.Add(1); f.options.Most > 0 && open > int64(f.options.Most) {
		f.open.Add(-1)
		f.options.Done(TooMany)
		return ErrTooMany
	}
	defer f.open.Add(-1)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	stop := func() bool { return true }
	if wait > 0 {
		stop = time.AfterFunc(wait, func() { cancel(context.DeadlineExceeded) }).Stop
	}
	kept := w.Header().Clone()
	clear(w.Header()) // of an answer from here
	var failed error
	proxy := httputil.ReverseProxy{
		Transport:     f.transport,
		FlushInterval: -1,
		BufferPool:    &f.buffers,
		ErrorLog:      f.errorLog,
		Rewrite:       func(p *httputil.ProxyRequest) { f.rewrite(p, to) },
		ModifyResponse: func(response *http.Response) error {
			switch {
			case response.Header.Get(refusedHeader) != "":
				return ErrNotOwner
			case !stop(): // too late
				return context.DeadlineExceeded
			}
			f.options.Done(Answered)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	answer := &answer{ResponseWriter: w, control: http.NewResponseController(w), buffers: &f.buffers}
	defer answer.end()
	r = r.WithContext(ctx)
	r.Body = answer.body(r)
	proxy.ServeHTTP(answer, r)
	if failed == nil || answer.begun {
		return nil
	}
	for name, values := range kept {
		w.Header()[name] = values
	}
	if answer.broken.Load() {
		failed = ErrIncomplete
	}
	return f.failed(r, to, failed)
}

// rewrite makes the request that is sent of the one that came.
func (f *Forwarder) rewrite(p *httputil.ProxyRequest, to *store.Elsewhere) {
	out := p.Out
	out.URL.Scheme, out.URL.Host = "http", to.Addr
	out.URL.RawQuery = p.In.URL.RawQuery // as it came, what cannot be parsed included
	if upgrade := p.In.Header["Upgrade"]; upgrade != nil {
		out.Header["Upgrade"] = upgrade // even if Connection does not name it: the owner says what is wrong
	}
	out.Header.Set(secretHeader, to.Secret)
	out.Header.Set(clientHeader, f.options.Client(p.In).String())
}

// failed returns Forward's error, and counts it.
func (f *Forwarder) failed(r *http.Request, to *store.Elsewhere, err error) error {
	var kind error
	var outcome Outcome
	switch cause := context.Cause(r.Context()); {
	case errors.Is(err, ErrIncomplete):
		outcome, kind = Bad, ErrIncomplete
	case errors.Is(err, ErrNotOwner):
		outcome, kind = NotOwner, ErrNotOwner
	case errors.Is(cause, context.DeadlineExceeded), isTimeout(err) && !errors.Is(err, ErrUnreachable):
		outcome, kind = NoAnswer, ErrNoAnswer
	case cause != nil:
		outcome, kind = Abandoned, context.Canceled
	case errors.Is(err, ErrUnreachable) && errors.Is(err, syscall.ECONNREFUSED):
		outcome, kind = Unreachable, ErrRefused
	case errors.Is(err, ErrUnreachable):
		outcome, kind = Unreachable, ErrUnreachable
	case errors.As(err, new(net.Error)), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isClosed(err):
		outcome, kind = NoAnswer, ErrNoAnswer
	default:
		outcome, kind = Bad, ErrBad
	}
	f.options.Done(outcome)
	f.options.Log.Debug("forwarding failed: "+err.Error(), "owner", to.Owner, "address", to.Addr, "outcome", string(outcome))
	switch kind {
	case ErrIncomplete:
		return kind
	case ErrBad:
		return fmt.Errorf("%w: %v", kind, err)
	}
	return fmt.Errorf("the game's owner, %s, %w", to.Owner, kind)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// isClosed reports whether err is that of a connection that the owner closed before
// the request was sent, which has no type.
func isClosed(err error) bool { return err.Error() == "http: server closed idle connection" }

// Check asks the other server whether it is ready. The error says, in its words or
// ours, why not.
func (f *Forwarder) Check(ctx context.Context, to *store.Elsewhere) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to.Addr+"/ready", nil)
	if err != nil {
		return err
	}
	r.Header.Set(secretHeader, to.Secret)
	response, err := f.transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the game's owner, %s at %s, cannot be reached: %w", to.Owner, to.Addr, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	switch {
	case response.Header.Get(refusedHeader) != "":
		return fmt.Errorf("%s at %s is not the game's owner any longer", to.Owner, to.Addr)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the game's owner, %s: %s", to.Owner, body)
	}
	return nil
}

// buffers are those that are not in use.
type buffers struct{ pool sync.Pool }

// Get and Put make it an httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return new([bufferSize]byte)[:]
}

func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
