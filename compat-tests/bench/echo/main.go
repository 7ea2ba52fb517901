// Echo is a server on the packages engineio and socketio, for comparison: it acks each
// number and stores nothing.
//
//	echo host:port
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"counting/server/engineio"
	"counting/server/socketio"
)

type acker struct{}

func (acker) Connect(s *socketio.Session)                                      { s.Admit() }
func (acker) Event(s *socketio.Session, _ string, _ socketio.Args, ack string) { s.Ack(ack) }
func (acker) Heartbeat(*socketio.Session)                                      {}
func (acker) Disconnect(*socketio.Session)                                     {}

func main() {
	http.Handle("/socket.io/", socketio.New(map[string]socketio.Handler{"/": acker{}}, engineio.Options{}))
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
