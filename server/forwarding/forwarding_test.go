package forwarding

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/server/clientaddr"
	"counting/server/store"
)

const patience = 10 * time.Second

// pair is a server that forwards everything to an owner.
type pair struct {
	*Forwarder
	url   string
	owner *store.Elsewhere
	err   chan error // what Forward returned

	mu       sync.Mutex
	outcomes []Outcome
}

// start starts the owner's internal listener, with its handler, and a server that
// forwards to it.
func start(t *testing.T, handler http.HandlerFunc, o Options, wait time.Duration) *pair {
	t.Helper()
	receiver := httptest.NewServer(Receiver("s3cret", nil, handler))
	t.Cleanup(func() { receiver.CloseClientConnections(); receiver.Close() })
	p := &pair{owner: &store.Elsewhere{Owner: "ada", Addr: receiver.Listener.Addr().String(), Secret: "s3cret"}, err: make(chan error, 100)}
	o.Client = clientaddr.Trusted{netip.MustParsePrefix("127.0.0.0/8")}.Of
	o.Done = func(outcome Outcome) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outcomes = append(p.outcomes, outcome)
	}
	p.Forwarder = New(o)
	t.Cleanup(p.Forwarder.Close)
	public := httptest.NewServer(Public(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("From", "here")
		err := p.Forward(w, r, p.owner, wait)
		p.err <- err
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})))
	t.Cleanup(func() { public.CloseClientConnections(); public.Close() })
	p.url = public.URL
	return p
}

// ended returns the result of Forward, and the outcome of the last request.
func (p *pair) ended(t *testing.T) (Outcome, error) {
	t.Helper()
	select {
	case err := <-p.err:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.outcomes[len(p.outcomes)-1], err
	case <-time.After(patience):
		t.Fatal("the request is still being forwarded")
		return "", nil
	}
}

func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

// The owner sees the request as the client sent it, from the client's address.
func TestTheOwnerSeesWhatTheClientSent(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Owner", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s %v %q %q %s", r.Method, r.RequestURI, r.Host, r.RemoteAddr, IsForwarded(r), r.Header["Counting-Secret"], r.Header["Counting-Client"], body)
	}, Options{}, 0)
	r, err := http.NewRequest(http.MethodPost, p.url+"//a/%2e?game=x;y&%zz", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "example.org"
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.7")
	r.Header.Set("Counting-Client", "9.9.9.9")
	r.Header.Set("Counting-Secret", "s3cret")
	response, body := do(t, r)
	if want := `POST //a/%2e?game=x;y&%zz example.org 203.0.113.7:0 true [] [] body`; response.StatusCode != http.StatusTeapot || body != want {
		t.Errorf("got %d %s, want %s", response.StatusCode, body, want)
	}
	if response.Header.Get("Owner") != "yes" || response.Header.Get("From") != "" {
		t.Errorf("the header is %v", response.Header)
	}
	if outcome, err := p.ended(t); err != nil || outcome != Answered {
		t.Errorf("it ended with %v, %s", err, outcome)
	}
}

// The internal listener serves only servers, and the public one ignores the headers of
// clients that claim to be a server.
func TestOnlyServersAreServed(t *testing.T) {
	t.Parallel()
	served := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%v", IsForwarded(r)) }
	for _, sent := range []string{"", "wrong", "s3cre", "s3cret ,s3cret", "S3CRET"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(secretHeader, sent)
		w := httptest.NewRecorder()
		Receiver("s3cret", nil, http.HandlerFunc(served)).ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "public address") {
			t.Errorf("with %q it answers %d %s", sent, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	Receiver("", nil, http.HandlerFunc(served)).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("without a secret it answers %d", w.Code)
	}
	r.Header.Set(secretHeader, "s3cret")
	w = httptest.NewRecorder()
	Public(http.HandlerFunc(served)).ServeHTTP(w, r)
	if w.Body.String() != "false" {
		t.Errorf("on the public listener a request is forwarded: %s", w.Body)
	}
}

// Connections of requests that are refused are closed without waiting for the body, which
// would keep the connections of servers from being accepted.
func TestRefusedConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	admit := func(*http.Request, netip.Addr) bool { return false }
	s := httptest.NewServer(Receiver("s3cret", admit, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it is served") })))
	t.Cleanup(s.Close)
	for header, want := range map[string]int{
		"":                           http.StatusForbidden,
		"Counting-Secret: wrong\r\n": http.StatusForbidden,
		"Counting-Secret: s3cret\r\nCounting-Client: 203.0.113.7\r\n": http.StatusTooManyRequests,
	} {
		for _, length := range []string{"Content-Length: 900", "Content-Length: 900000", "Transfer-Encoding: chunked"} {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			began := time.Now()
			fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: x\r\n%s%s\r\n\r\n4", header, length)
			in := bufio.NewReader(conn)
			response, err := http.ReadResponse(in, nil)
			if err != nil || response.StatusCode != want {
				t.Errorf("%q with %s is answered %v, %v", header, length, response, err)
				continue
			}
			io.Copy(io.Discard, response.Body)
			if _, err := in.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > patience/2 {
				t.Errorf("%q with %s: the connection is not closed: %v", header, length, err)
			}
		}
	}
}

// A server that is no longer the owner refuses the request, and the client is not
// answered yet.
func TestAnOwnerThatHasChanged(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) { Refuse(w, "not mine") }, Options{}, 0)
	response, body := get(t, p.url)
	if response.StatusCode != http.StatusServiceUnavailable || body != "the game's owner, ada, does not own the game any longer\n" {
		t.Errorf("got %d %s", response.StatusCode, body)
	}
	if response.Header.Get("From") != "here" || response.Header.Get(refusedHeader) != "" {
		t.Errorf("the header is %v", response.Header)
	}
	if outcome, err := p.ended(t); !errors.Is(err, ErrNotOwner) || outcome != NotOwner {
		t.Errorf("it ended with %v, %s", err, outcome)
	}
	p.owner.Secret = "of the server that was there before"
	get(t, p.url)
	if outcome, err := p.ended(t); !errors.Is(err, ErrNotOwner) || outcome != NotOwner {
		t.Errorf("with another secret it ended with %v, %s", err, outcome)
	}
}

// An owner that has ended, does not answer or breaks the connection results in a
// readable error.
func TestAnOwnerThatIsGoneOrSlow(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	listener.Close()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		addr    string
		wait    time.Duration
		timeout time.Duration
		kind    error
		outcome Outcome
	}{
		"gone":      {hang, gone, 0, 0, ErrUnreachable, Unreachable},
		"slow":      {hang, "", 50 * time.Millisecond, 0, ErrNoAnswer, NoAnswer},
		"slow_poll": {hang, "", 0, 50 * time.Millisecond, ErrNoAnswer, NoAnswer},
		"breaks":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", 0, 0, ErrNoAnswer, NoAnswer},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(c, "garbage\r\n\r\n")
			c.Close()
		}, "", 0, 0, ErrBad, Bad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.handler, Options{AnswerTimeout: tt.timeout}, tt.wait)
			if tt.addr != "" {
				p.owner.Addr = tt.addr
			}
			response, body := get(t, p.url)
			outcome, err := p.ended(t)
			if response.StatusCode != http.StatusServiceUnavailable || !errors.Is(err, tt.kind) || outcome != tt.outcome {
				t.Errorf("got %d %s; %v, %s", response.StatusCode, body, err, outcome)
			}
			if p.Open() != 0 {
				t.Errorf("%d requests are being forwarded", p.Open())
			}
		})
	}
}

// A response that began in time may take any time, and when the client leaves the
// owner's request is canceled.
func TestAStreamIsNotCutOff(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	next, left := make(chan string, 1), make(chan struct{})
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		for {
			select {
			case line := <-next:
				io.WriteString(w, line)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}, Options{AnswerTimeout: wait}, wait)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("it is answered %s", response.Status)
	}
	<-time.After(wait + 100*time.Millisecond) // longer than the answer may take to begin
	next <- "a line\n"
	if lines := bufio.NewScanner(response.Body); !lines.Scan() || lines.Text() != "a line" {
		t.Fatalf("%q came, %v", lines.Text(), lines.Err())
	}
	if p.Open() != 1 {
		t.Errorf("%d requests are being forwarded", p.Open())
	}
	cancel()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("the owner is not told that the client has left")
	}
}

// The number of requests that are forwarded at the same time is limited.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	p := start(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release }, Options{MaxRequests: 2}, 0)
	t.Cleanup(func() { close(release) })
	for range 2 {
		go func() {
			if response, err := http.Get(p.url); err == nil {
				response.Body.Close()
			}
		}()
		<-arrived
	}
	if response, body := get(t, p.url); response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "too many requests are being forwarded") {
		t.Errorf("the third is answered %d %s", response.StatusCode, body)
	}
	if outcome, err := p.ended(t); !errors.Is(err, ErrTooMany) || outcome != TooMany {
		t.Errorf("it ended with %v, %s", err, outcome)
	}
}

// An incomplete body is the client's fault.
func TestABodyThatIsIncomplete(t *testing.T) {
	t.Parallel()
	p := start(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, Options{}, 0)
	raw, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(raw, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive.")
	raw.(*net.TCPConn).CloseWrite()
	defer raw.Close()
	if outcome, err := p.ended(t); !errors.Is(err, ErrIncomplete) || outcome != Bad {
		t.Errorf("it ended with %v, %s", err, outcome)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ready := true
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" || !ready {
			http.Error(w, "not ready: the disk is full", http.StatusServiceUnavailable)
		}
	}, Options{}, 0)
	if err := p.Check(t.Context(), p.owner); err != nil {
		t.Error(err)
	}
	ready = false
	if err := p.Check(t.Context(), p.owner); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("an owner with a full disk is %v", err)
	}
	p.owner.Secret = "another"
	if err := p.Check(t.Context(), p.owner); err == nil || !strings.Contains(err.Error(), "not the game's owner any longer") {
		t.Errorf("a stranger is %v", err)
	}
	p.owner.Addr = "127.0.0.1:1"
	if err := p.Check(t.Context(), p.owner); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("an owner that is gone is %v", err)
	}
}
