package socketio

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"

	enginepacket "github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/events"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io-go-parser/v2/parser"
	"github.com/zishang520/socket.io/v2/socket"
)

// library is the Socket.IO library bound to package engineio. Each session is
// announced to it when it is admitted, as a separate connection with one CONNECT
// packet. The library answers that packet and keeps the session in its namespace
// until it ends. It does not know of sessions that wait to be admitted, so the order
// in which they join and leave does not affect it.
type library struct {
	io      *socket.Server
	engine  libraryEngine
	request *types.HttpContext
}

// libraryEngine emits new connections to the library. The library does not call the
// rest of the interface.
type libraryEngine struct {
	events.EventEmitter
	baseServer
}

type (
	baseServer struct{ engine.BaseServer }
	baseSocket struct{ engine.Socket }
)

func newLibrary(namespaces map[string]Handler) *library {
	options := socket.DefaultServerOptions()
	options.SetServeClient(false)
	options.SetParser(packetParser{})
	l := &library{
		io:     socket.NewServer(nil, options),
		engine: libraryEngine{EventEmitter: events.New()},
		// Each context has a goroutine, so all connections share one.
		request: types.NewHttpContext(noResponse{}, (&http.Request{URL: new(url.URL), Header: http.Header{}}).WithContext(context.Background())),
	}
	l.io.Bind(l.engine)
	for namespace := range namespaces {
		l.io.Of(namespace, nil).On("connection", func(args ...any) {
			args[0].(*socket.Socket).Conn().(*libraryConn).joined()
		})
	}
	return l
}

func (l *library) close() { l.request.Flush() }

// connect lets the library answer a CONNECT packet for that namespace. It calls
// write with its answer, once, from another goroutine or before connect returns.
func (l *library) connect(id, namespace string, write func(text string)) *libraryConn {
	c := &libraryConn{EventEmitter: events.New(), library: l, id: id, write: write}
	l.engine.Emit("connection", c)
	c.Emit("data", &parser.Packet{Type: parser.CONNECT, Nsp: namespace})
	return c
}

// libraryConn is an Engine.IO connection for the library. It implements those methods
// of the interface that the library calls.
type libraryConn struct {
	events.EventEmitter
	baseSocket
	library *library
	id      string
	write   func(text string)

	mu     sync.Mutex
	added  bool // the library has added it to its namespace
	closed bool
}

func (c *libraryConn) Protocol() int                   { return 4 }
func (c *libraryConn) Id() string                      { return c.id }
func (c *libraryConn) RemoteAddress() string           { return "" }
func (c *libraryConn) Request() *types.HttpContext     { return c.library.request }
func (c *libraryConn) Transport() transports.Transport { return nil }
func (c *libraryConn) Close(bool)                      {}
func (c *libraryConn) ReadyState() string              { return "open" }

func (c *libraryConn) Write(data io.Reader, _ *enginepacket.Options, _ engine.SendCallback) engine.Socket {
	text, err := io.ReadAll(data)
	if err == nil {
		c.write(string(text))
	}
	return c
}

// joined is called when the library has added the connection to its namespace. The
// library would keep a connection that ends before, so the end is delayed until now.
func (c *libraryConn) joined() {
	c.mu.Lock()
	c.added = true
	closed := c.closed
	c.mu.Unlock()
	if closed {
		c.Emit("close", "transport close")
	}
}

// end reports the end of the connection to the library. It may be called more than
// once, and on nil.
func (c *libraryConn) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	now := c.added && !c.closed
	c.closed = true
	c.mu.Unlock()
	if now {
		c.Emit("close", "transport close")
	}
}

// refused reports the end of a connection that the library has refused.
func (c *libraryConn) refused() { c.Emit("close", "transport close") }

// packetParser makes the library accept parsed packets instead of text, and refuse a
// namespace with the original's message.
type packetParser struct{}

func (packetParser) NewEncoder() parser.Encoder { return encoder{parser.NewEncoder()} }
func (packetParser) NewDecoder() parser.Decoder { return decoder{events.New()} }

type encoder struct{ parser.Encoder }

func (e encoder) Encode(p *parser.Packet) []types.BufferInterface {
	if p.Type == parser.CONNECT_ERROR {
		p.Data = "Unable to connect"
	}
	return e.Encoder.Encode(p)
}

type decoder struct{ events.EventEmitter }

func (d decoder) Add(packet any) error {
	d.Emit("decoded", packet)
	return nil
}

func (d decoder) Destroy() {}

// noResponse is the ResponseWriter of the shared request. It discards everything.
type noResponse struct{}

func (noResponse) Header() http.Header         { return http.Header{} }
func (noResponse) WriteHeader(int)             {}
func (noResponse) Write(b []byte) (int, error) { return len(b), nil }
