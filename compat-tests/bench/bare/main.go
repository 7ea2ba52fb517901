// Bare is a server on the Socket.IO library alone, for comparison: it acks each number and
// stores nothing.
//
//	bare host:port
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/zishang520/socket.io/v2/socket"
)

func main() {
	sockets := socket.NewServer(nil, nil)
	sockets.On("connection", func(args ...any) {
		args[0].(*socket.Socket).On("number", func(args ...any) {
			if ack, ok := args[len(args)-1].(socket.Ack); ok {
				ack([]any{}, nil)
			}
		})
	})
	http.Handle("/socket.io/", sockets.ServeHandler(nil))
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
