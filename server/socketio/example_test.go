package socketio_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"

	"counting/server/engineio"
	"counting/server/socketio"

	"github.com/gorilla/websocket"
)

// chat echoes the events "message" and "message-with-ack", and sends the client a
// question that asks for an ack.
type chat struct{}

func (chat) Connect(s *socketio.Session) {
	s.Admit()
	auth := s.Auth()
	if auth == "" {
		auth = "{}"
	}
	s.Emit("auth", json.RawMessage(auth))
}

func (chat) Event(s *socketio.Session, name string, args socketio.Args, ack string) {
	switch name {
	case "message":
		s.Emit("message-back", payload(args)...)
	case "message-with-ack":
		s.Ack(ack, payload(args)...)
	case "ask-me":
		s.EmitWithAck(func(answer socketio.Args, err error) {
			if err == nil {
				s.Emit("answered", payload(answer)...)
			}
		}, "question", "how are you?")
	}
}

func (chat) Heartbeat(*socketio.Session)  {}
func (chat) Disconnect(*socketio.Session) {}

// payload converts received arguments to a payload to send.
func payload(args socketio.Args) []any {
	var values []any
	for _, text := range args.JSON {
		var placeholder struct {
			Is  bool `json:"_placeholder"`
			Num int
		}
		if json.Unmarshal([]byte(text), &placeholder) == nil && placeholder.Is && placeholder.Num < len(args.Attachments) {
			values = append(values, args.Attachments[placeholder.Num])
		} else {
			values = append(values, json.RawMessage(text))
		}
	}
	return values
}

// An application with two namespaces, and a client of one of them.
func Example() {
	app := socketio.New(map[string]socketio.Handler{"/": chat{}, "/custom": chat{}}, engineio.Options{})
	defer app.Close()
	server := httptest.NewServer(app)
	defer server.Close()

	client, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for _, packet := range []string{`40/custom,{"token":"123"}`, `42/custom,7["message-with-ack",1,"2"]`, `42/custom,["ask-me"]`} {
		client.WriteMessage(websocket.TextMessage, []byte(packet))
	}
	client.ReadMessage() // the handshake
	for range 4 {
		_, packet, _ := client.ReadMessage()
		text, _, _ := strings.Cut(string(packet), `"sid"`)
		fmt.Println(text)
	}
	client.WriteMessage(websocket.TextMessage, []byte(`43/custom,1["fine"]`))
	_, packet, _ := client.ReadMessage()
	fmt.Println(string(packet))
	// Output:
	// 40/custom,{
	// 42/custom,["auth",{"token":"123"}]
	// 43/custom,7[1,"2"]
	// 42/custom,1["question","how are you?"]
	// 42/custom,["answered","fine"]
}
