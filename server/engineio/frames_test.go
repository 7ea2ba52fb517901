package engineio

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

// scripted is a connection on which each Read returns one part, or what fits of it, and
// calls before.
type scripted struct {
	net.Conn // nil
	parts    []string
	before   func()
	deadline time.Time
}

func (s *scripted) Read(b []byte) (int, error) {
	if s.before != nil {
		s.before()
	}
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

func (s *scripted) SetReadDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

// frame returns a masked frame, as clients send it.
func frame(op ws.OpCode, fin bool, text string) string {
	return string(ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, []byte(text)))))
}

// script returns a session and a reader of the parts.
func script(maxPayload int, parts ...string) (*Session, *frameReader, *scripted) {
	server := &Server{options: Options{MaxPayload: maxPayload, OnLimit: func(Limit) {}}, receiving: newBudget(10<<20, 0)}
	conn := &scripted{parts: slices.Clone(parts)}
	return &Session{server: server}, &frameReader{conn: conn}, conn
}

// Headers are read as gobwas/ws reads and checks them, which takes longer.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"\x01\x02\x03\x04\x05\x06\x07\x08\xa1\xb2\xc3\xd4", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4", "\x80"} {
		for _, fragment := range []ws.OpCode{0, ws.OpText} {
			for first := range 256 {
				for _, length := range []byte{0, 1, 2, 125, 126, 127, 0x80, 0x81, 0x82, 0x80 + 125, 0x80 + 126, 0x80 + 127} {
					text := string([]byte{byte(first), length}) + rest
					_, in, _ := script(1000, text)
					in.fragment = fragment
					got, err := in.header()
					state := ws.StateServerSide
					if fragment != 0 {
						state |= ws.StateFragmented
					}
					left := strings.NewReader(text)
					want, wantErr := ws.ReadHeader(left)
					if wantErr == nil {
						wantErr = ws.CheckHeader(want, state)
					} else if wantErr == io.ErrUnexpectedEOF {
						wantErr = io.EOF
					}
					if err != wantErr || err == nil && (got != want || in.to-in.from != left.Len()) {
						t.Fatalf("%x is %+v, %v, with %d bytes left; want %+v, %v", text, got, err, in.to-in.from, want, wantErr)
					}
					in.putBuffer()
				}
			}
		}
	}
}

// Messages of all lengths up to the limit arrive, in one frame or in two, and longer ones
// do not. What they take is counted until the next one is read.
func TestMessagesOfAllLengths(t *testing.T) {
	t.Parallel()
	const most = 70_000
	for _, length := range []int{0, 1, 125, 126, readSize - 1, readSize, readSize + 1, 2 * readSize, 1<<16 - 1, 1 << 16, most, most + 1} {
		text := strings.Repeat("abcdefg", most)[:length]
		for first := range 3 { // nothing, half or all of it in the first of two frames
			wire := frame(ws.OpText, false, text[:first*length/2]) + frame(ws.OpContinuation, true, text[first*length/2:])
			for name, wire := range map[string]string{"one": frame(ws.OpText, true, text), "two": wire} {
				t.Run(fmt.Sprint(length, " in ", name, first), func(t *testing.T) {
					t.Parallel()
					s, in, _ := script(most, wire+frame(ws.OpText, true, "next"))
					defer in.release(s)
					op, data, err := in.next(s)
					if length > most {
						if err == nil || !strings.Contains(err.Error(), "larger than the limit") {
							t.Errorf("it is read with the error %v", err)
						}
						return
					}
					if err != nil || op != ws.OpText || string(data) != text {
						t.Fatalf("%d bytes of type %v are read, %v", len(data), op, err)
					}
					if used := s.server.receiving.inUse(); length > readSize && used < int64(length-allowance) || used > most {
						t.Errorf("%d bytes are counted", used)
					}
					if _, data, err = in.next(s); err != nil || string(data) != "next" {
						t.Errorf("then comes %q, %v", data, err)
					}
					if used := s.server.receiving.inUse(); used != 0 {
						t.Errorf("of a message that was handled, %d bytes are still counted", used)
					}
				})
			}
		}
	}
}

// The memory of a message follows what has arrived of it, and not the length that its
// frame announces.
func TestAMessageTakesMemoryAsItArrives(t *testing.T) {
	t.Parallel()
	wire := frame(ws.OpBinary, true, strings.Repeat("x", 60_000))
	s, in, conn := script(70_000, wire[:10_000], wire[10_000:])
	conn.before = func() {
		arrived := len(wire) - len(strings.Join(conn.parts, ""))
		if used := int(s.server.receiving.inUse()); used > 2*arrived || used < arrived-2*readSize-allowance {
			t.Errorf("%d bytes are counted of which %d have arrived", used, arrived)
		}
	}
	if _, data, err := in.next(s); err != nil || len(data) != 60_000 {
		t.Errorf("%d bytes are read, %v", len(data), err)
	}
	in.release(s)
	if used := s.server.receiving.inUse(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}

// A message that has begun must be complete in time, with all of its frames and the
// control frames between them; a client that sends nothing may do so forever.
func TestTheTimeForAMessage(t *testing.T) {
	t.Parallel()
	text, ping := frame(ws.OpText, true, "hello"), frame(ws.OpPing, true, "p")
	begin, end := frame(ws.OpText, false, "a"), frame(ws.OpContinuation, true, "b")
	// A message is under way before the parts of which the number is in running.
	for _, tt := range []struct {
		name    string
		parts   []string
		running string
	}{
		{"whole messages", []string{text, text}, ""},
		{"a message in parts", []string{text[:1], text[1:6], text[6:], text}, "12"},
		{"a ping in parts", []string{ping[:1], ping[1:6], ping[6:], text}, "12"},
		{"two messages in parts", []string{text[:1], text[1:], text[:3], text[3:]}, "13"},
		{"two frames", []string{begin, end, text}, "1"},
		{"a ping between frames", []string{begin, ping, end, text}, "12"},
		{"a message and the beginning of the next one", []string{text + text[:3], text[3:], text}, "1"},
	} {
		for _, until := range []time.Time{{}, time.Now().Add(time.Second), time.Now().Add(time.Hour)} {
			s, in, conn := script(1000, tt.parts...)
			in.until, conn.deadline = until, until
			began := time.Now()
			read := 0
			conn.before = func() {
				limit := until
				if strings.Contains(tt.running, fmt.Sprint(read)) && (until.IsZero() || until.After(began.Add(messageTimeout))) {
					limit = began.Add(messageTimeout)
				}
				if late := conn.deadline.Sub(limit); conn.deadline.IsZero() != limit.IsZero() || late < 0 || late > time.Minute {
					t.Errorf("%s: before part %d the deadline is %v, want %v", tt.name, read, conn.deadline, limit)
				}
				read++
			}
			for {
				if _, _, err := in.next(s); err != nil {
					break
				}
			}
			if read != len(tt.parts)+1 {
				t.Errorf("%s: %d parts were read of %d", tt.name, read-1, len(tt.parts))
			}
		}
	}
}

// What the client has sent directly after its request for a WebSocket comes first,
// however long it is.
func TestFramesBeforeTheWebSocketWasOpen(t *testing.T) {
	t.Parallel()
	var wire []byte
	for i := range 300 {
		wire = append(wire, frame(ws.OpText, true, fmt.Sprintf("%d%s", i, strings.Repeat("x", 50)))...)
	}
	for _, early := range []int{1, 57, readSize - 1, readSize, readSize + 1, 2 * readSize, len(wire) - 1, len(wire)} {
		s, in, _ := script(1000, string(wire[early:]))
		if early == len(wire) {
			in.conn = new(scripted)
		}
		in.early = bytes.Clone(wire[:early])
		if !in.buffered() {
			t.Error("nothing is said to be there")
		}
		for i := range 300 {
			if _, data, err := in.next(s); err != nil || !strings.HasPrefix(string(data), fmt.Sprint(i, "x")) {
				t.Fatalf("with %d bytes early, message %d is %q, %v", early, i, data, err)
			}
		}
		if in.buffered() {
			t.Error("something is said to be left")
		}
	}
}

// deep is a handler that needs a large stack.
type deep struct {
	recorder
	goroutines chan string // that handled messages
}

func (d deep) Message(data []byte, binary bool) {
	useStack(64)
	id, _, _ := strings.Cut(string(debug.Stack()), " [")
	d.goroutines <- id
	d.recorder.Message(data, binary)
}

func useStack(kilobytes int) (sum byte) {
	var used [1 << 10]byte
	used[kilobytes] = 1
	if kilobytes > 0 {
		sum = useStack(kilobytes - 1)
	}
	return sum + used[kilobytes/2]
}

// A WebSocket that is quiet keeps neither the stack that its last message needed nor the
// message. One that is not is read by the same goroutine.
func TestAQuietWebSocket(t *testing.T) {
	const count = 50
	goroutines := make(chan string, 2)
	s := startWith(t, Options{}, func(r recorder) Handler { return deep{r, goroutines} })
	stacks := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.StackInuse)
	}
	before := stacks()
	var conn *websocket.Conn
	for range count {
		conn = s.dial("")
		write(t, conn, "4"+strings.Repeat("x", 10_000))
		expect(t, conn, "0", "4x")
		<-goroutines
	}
	waitFor(t, "all WebSockets to be quiet", func() bool {
		all := make([]byte, 1<<20)
		return strings.Count(string(all[:runtime.Stack(all, true)]), "created by counting/server/engineio.(*conn).serve in") == count
	})
	if each := (stacks() - before) / count; each > 32<<10 {
		t.Errorf("each has a stack of %d bytes", each)
	}
	waitFor(t, "the messages to be counted no more", func() bool {
		receiving, _ := s.Usage()
		return receiving == 0
	})

	began := time.Now()
	write(t, conn, "4y")
	expect(t, conn, "4y")
	write(t, conn, "4z")
	expect(t, conn, "4z")
	if first, second := <-goroutines, <-goroutines; first != second && time.Since(began) < quietTime {
		t.Errorf("messages after each other are read by %s and %s", first, second)
	}
}

// noRead is a connection that must not be read.
type noRead struct {
	syscall.RawConn
	t *testing.T
}

func (c noRead) Read(func(uintptr) bool) error {
	c.t.Error("it waits without the deadline of the message")
	return nil
}

// While a message is received, its deadline applies: a part of one and a ping, in one
// segment, held what was received for as long as the client wanted.
func TestAwaitDoesNotWaitWithinAMessage(t *testing.T) {
	t.Parallel()
	s, in, _ := script(100_000, frame(ws.OpText, false, "4x")+frame(ws.OpPing, true, ""))
	if op, _, err := in.next(s); err != nil || op != ws.OpPing {
		t.Fatalf("%v, %v", op, err)
	}
	in.ready.raw = noRead{t: t}
	in.await(s)
}

// A message that arrives in parts, with quiet times between them, is complete.
func TestAQuietWebSocketWithinAMessage(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.dial("")
	expect(t, conn, "0")
	long := strings.Repeat("x", 2*readSize)
	pongs := make(chan string, 1)
	conn.SetPongHandler(func(text string) error {
		pongs <- text
		return nil
	})
	io.WriteString(conn.NetConn(), frame(ws.OpText, false, "4"+long)+frame(ws.OpPing, true, "quiet"))
	go func() {
		<-pongs
		io.WriteString(conn.NetConn(), frame(ws.OpContinuation, true, "y"))
	}()
	expect(t, conn, "4"+long+"y")
}
