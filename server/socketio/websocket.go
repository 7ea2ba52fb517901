package socketio

import (
	"io"
	"time"

	"github.com/gorilla/websocket"
	engine "github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
)

// The library looks its transports up in a table; ours take the place of its
// own.
func init() {
	transports.Transports()[transports.WEBSOCKET] = new(builder)
	transports.Transports()[transports.POLLING] = new(pollingBuilder)
}

type builder struct{ transports.WebSocketBuilder }

func (*builder) New(ctx *types.HttpContext) transports.Transport {
	t := &webSocket{
		Transport: transports.MakeTransport(),
		conn:      ctx.Websocket.Conn,
		probing:   ctx.Query().Has("sid"),
	}
	t.Prototype(t)
	t.Construct(ctx)
	t.conn.EnableWriteCompression(false) // what is sent is tiny
	t.SetWritable(true)
	go t.read()
	return t
}

// webSocket carries Engine.IO packets over a WebSocket. Unlike the library's
// own it takes no more of a compressed message than MaxPayload, passes over
// packets that a client has no business to send, as the original does, lets a
// client leave by CLOSE, gives up on a client that does not read, and closes
// the connection when it is done with it.
type webSocket struct {
	transports.Transport
	cork
	conn    *websocket.Conn
	probing bool // the session still polls; only read uses it
}

func (t *webSocket) Name() string          { return transports.WEBSOCKET }
func (t *webSocket) HandlesUpgrades() bool { return true }
func (t *webSocket) Writable() bool        { return !t.in.Load() && t.Transport.Writable() }

// read hands on what the client sends until either side closes. A panic in the
// library ends the connection, not the process.
func (t *webSocket) read() {
	defer func() {
		recover()
		t.conn.Close()
		t.OnClose()
	}()
	for {
		kind, r, err := t.conn.NextReader()
		if err != nil {
			return
		}
		data, err := io.ReadAll(io.LimitReader(r, MaxPayload+1))
		if err != nil || len(data) > MaxPayload {
			return
		}
		if kind == websocket.BinaryMessage {
			t.OnPacket(&engine.Packet{Type: engine.MESSAGE, Data: types.NewBytesBuffer(data)})
		} else if len(data) > 0 && !t.text(data) {
			return
		}
	}
}

// text hands on a text message, and returns false if it ends the connection:
// the client leaves by it, or it is no packet.
func (t *webSocket) text(data []byte) bool {
	switch kind := data[0]; {
	case kind == '1', kind < '0', kind > '9' && kind != 'b': // CLOSE, no packet
		return false
	case kind == '3', kind == '4', kind == 'b', // PONG, MESSAGE, MESSAGE in base64
		t.probing && kind == '2', // PING
		t.probing && kind == '5': // UPGRADE
		t.probing = t.probing && kind != '5'
		if p, err := t.Parser().DecodePacket(types.NewStringBuffer(data)); err == nil {
			t.OnPacket(p)
		}
	}
	return true
}

// Send writes the packets in a goroutine of its own and then reports "drain"
// and "ready". The library calls it again only after that.
func (t *webSocket) Send(packets []*engine.Packet) {
	t.SetWritable(false)
	go func() {
		if err := t.writeAll(packets); err != nil {
			t.conn.Close() // ends read, which reports it
			return
		}
		t.Emit("drain")
		t.SetWritable(true)
		t.Emit("ready")
	}()
}

func (t *webSocket) writeAll(packets []*engine.Packet) error {
	conn, canHold := t.conn.NetConn().(*gatedConn)
	if canHold = canHold && len(packets) > 1; canHold {
		conn.hold()
	}
	for _, p := range packets {
		if err := t.write(p); err != nil {
			return err
		}
	}
	if canHold {
		return conn.release()
	}
	return nil
}

func (t *webSocket) write(p *engine.Packet) error {
	data, err := t.Parser().EncodePacket(p, t.SupportsBinary())
	if err != nil {
		return err
	}
	kind := websocket.TextMessage
	if _, isText := data.(*types.StringBuffer); !isText {
		kind = websocket.BinaryMessage
	}
	t.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return t.conn.WriteMessage(kind, data.Bytes())
}

// DoClose is called by the library to close the transport.
func (t *webSocket) DoClose(done types.Callable) {
	t.conn.Close()
	if done != nil {
		done()
	}
}
