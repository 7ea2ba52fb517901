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
	// writeTimeout is how long a client may take to receive one write.
	writeTimeout = 15 * time.Second
	// bufferSize is the size of a copy buffer. Each WebSocket has two buffers, and each
	// response that is being copied has one.
	bufferSize = 4 << 10
	// idleConns is how many idle connections to an owner are kept.
	idleConns = 64
	// maxAnswerHeader bounds the header of a response.
	maxAnswerHeader = 64 << 10
)

// Errors of Forwarder.Forward. They are wrapped, with the owner's name and the cause.
var (
	// ErrUnreachable: no connection to the owner could be made.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrRefused: the owner's address refuses connections, so nothing listens there. It
	// wraps ErrUnreachable.
	ErrRefused = fmt.Errorf("%w: it refuses connections", ErrUnreachable)
	// ErrNotOwner: the server does not own the game.
	ErrNotOwner = errors.New("does not own the game any longer")
	// ErrNoAnswer: the connection broke before the owner answered, or the owner took
	// too long.
	ErrNoAnswer = errors.New("does not answer")
	// ErrTooMany: too many requests are being forwarded.
	ErrTooMany = errors.New("too many requests are being forwarded")
	// ErrIncomplete: the client has not sent all of the request's body.
	ErrIncomplete = errors.New("the body is incomplete")
	// ErrBad: the request or the answer cannot be forwarded.
	ErrBad = errors.New("the request cannot be forwarded")
)

// Outcome is the result of forwarding a request.
type Outcome string

// The outcomes. All but Answered and Abandoned correspond to Forward's errors;
// Abandoned means that the client left before the owner answered.
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

// Options configure New.
type Options struct {
	// MaxRequests is how many requests may be forwarded at the same time, including
	// open WebSockets and waiting polls; 0 means no limit.
	MaxRequests int
	// AnswerTimeout is how long an owner may take to begin its response if Forward is
	// called without a timeout, as for a poll; 0 means no limit.
	AnswerTimeout time.Duration
	// Client returns the address of the client that sent a request.
	Client func(*http.Request) netip.Addr
	// Done, if non-nil, is called once for each request, when its response begins or it
	// has failed. It must not block.
	Done func(Outcome)
	// Log, if non-nil, receives messages for operators.
	Log *slog.Logger
}

// Forwarder forwards requests to other servers. Its methods may be called concurrently.
type Forwarder struct {
	options   Options
	transport *http.Transport
	buffers   buffers
	open      atomic.Int64 // requests that are being forwarded
	errorLog  *log.Logger
}

// New returns a Forwarder. The caller must Close it.
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
		IdleConnTimeout:        30 * time.Second, // less than the owner's
		ResponseHeaderTimeout:  o.AnswerTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true, // the client's own headers are forwarded
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
	return f
}

// Close closes the idle connections.
func (f *Forwarder) Close() { f.transport.CloseIdleConnections() }

// Open returns how many requests are being forwarded.
func (f *Forwarder) Open() int { return int(f.open.Load()) }

// Forward forwards the request to another server, and copies the response or the
// WebSocket until it ends or the client leaves. The request must not be a forwarded
// one. If timeout is not 0, the response must begin within that time. The headers of w
// are replaced, except for Connection.
//
// If Forward returns an error, nothing was sent to the client. A request without a body
// may then be forwarded again.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, to *store.Elsewhere, timeout time.Duration) error {
	if open := f.open.Add(1); f.options.MaxRequests > 0 && open > int64(f.options.MaxRequests) {
		f.open.Add(-1)
		f.options.Done(TooMany)
		return ErrTooMany
	}
	defer f.open.Add(-1)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	stop := func() bool { return true }
	if timeout > 0 {
		stop = time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }).Stop
	}
	kept := w.Header().Clone()
	clear(w.Header()) // those of a response of this server
	if connection := kept["Connection"]; connection != nil {
		w.Header()["Connection"] = connection // it is about this connection
	}
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

// rewrite makes the outgoing request from the incoming one.
func (f *Forwarder) rewrite(p *httputil.ProxyRequest, to *store.Elsewhere) {
	out := p.Out
	out.URL.Scheme, out.URL.Host = "http", to.Addr
	out.URL.RawQuery = p.In.URL.RawQuery // unchanged, even if it cannot be parsed
	if upgrade := p.In.Header["Upgrade"]; upgrade != nil {
		out.Header["Upgrade"] = upgrade // even if Connection does not name it: the owner reports the mistake
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

// isClosed reports whether err is the untyped error of a connection that the owner
// closed before the request was sent.
func isClosed(err error) bool { return err.Error() == "http: server closed idle connection" }

// Check asks the other server whether it is ready. The error is the reason why it is
// not, as reported by that server if it can be reached.
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

// buffers is an httputil.BufferPool of buffers of bufferSize.
type buffers struct{ pool sync.Pool }

// Get returns a buffer.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return new([bufferSize]byte)[:]
}

// Put returns a buffer to the pool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
