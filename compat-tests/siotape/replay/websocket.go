package replay

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/siotape/tape"
)

func (s *session) openWebSocket(l tape.Line) error {
	dialer := websocket.Dialer{TLSClientConfig: s.tls, HandshakeTimeout: 30 * time.Second}
	if protocols := l.Headers.Get("Sec-Websocket-Protocol"); protocols != "" {
		for p := range strings.SplitSeq(protocols, ",") {
			dialer.Subprotocols = append(dialer.Subprotocols, strings.TrimSpace(p))
		}
	}
	h, host := s.header(l.Headers, false)
	if host != "" {
		h.Set("Host", host)
	}
	target := s.withID(s.requestURL(l.URL, tape.WebSocket))
	if l.Raw {
		target = s.url(l.URL, false)
	}
	target = strings.Replace(target, "http", "ws", 1)
	ws, res, err := dialer.DialContext(s.ctx, target, h)
	if errors.Is(err, websocket.ErrBadHandshake) {
		answer, _ := io.ReadAll(res.Body)
		return refusal(fmt.Sprintf("the server answered %d %q", res.StatusCode, answer))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ws = ws
	s.mu.Unlock()
	s.running.Go(func() { s.read(ws, tape.Headers(res.Header)) })
	return nil
}

func (s *session) read(ws *websocket.Conn, headers tape.Headers) {
	for {
		kind, data, err := ws.ReadMessage()
		if err != nil {
			s.closed(ws)
			return
		}
		text, binary := string(data), kind == websocket.BinaryMessage
		if binary {
			text = base64.StdEncoding.EncodeToString(data)
		}
		s.receiveLine(tape.Line{Over: tape.WebSocket, Packet: &text, Binary: binary, Headers: headers})
		headers = nil
	}
}

// closed handles the end of a WebSocket. A session that was upgrading continues polling.
func (s *session) closed(ws *websocket.Conn) {
	s.mu.Lock()
	if !s.stopped {
		s.paused, s.probed = false, false
	}
	if s.ws == ws {
		s.ws = nil
	}
	s.mu.Unlock()
	s.wake()
	s.receiveLine(tape.Line{Over: tape.WebSocket, Close: true})
}

func (s *session) write(text string, binary bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws == nil {
		return refusal("the WebSocket is closed")
	}
	kind, data := websocket.TextMessage, []byte(text)
	if binary {
		var err error
		if data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return err
		}
		kind = websocket.BinaryMessage
	}
	if err := s.ws.WriteMessage(kind, data); err != nil {
		return refusal(fmt.Sprintf("the connection is closed: %v", err))
	}
	return nil
}
