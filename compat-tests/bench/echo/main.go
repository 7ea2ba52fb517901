// Echo is a server on the packages engineio and socketio, for comparison: it acks each
// number. With a file it appends a line for each number before, and syncs the file: all
// that is possible for a server that stores the numbers, on this machine and disk.
//
//	echo host:port [file]
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	"counting/server/engineio"
	"counting/server/socketio"
)

// acker acks without storing.
type acker struct{}

func (acker) Connect(s *socketio.Session)                                     { s.Admit() }
func (acker) Event(s *socketio.Session, _ string, _ socketio.Args, id string) { s.Ack(id) }
func (acker) Heartbeat(*socketio.Session)                                     {}
func (acker) Disconnect(*socketio.Session)                                    {}

// storer stores before it acks: what has arrived during a sync, with the next one.
type storer struct {
	acker
	arrived chan struct{} // has one element when there may be acks

	mu   sync.Mutex
	acks []ack
}

type ack struct {
	session *socketio.Session
	id      string
}

func (t *storer) Event(s *socketio.Session, _ string, _ socketio.Args, id string) {
	t.mu.Lock()
	t.acks = append(t.acks, ack{s, id})
	t.mu.Unlock()
	select {
	case t.arrived <- struct{}{}:
	default:
	}
}

func (t *storer) store(file *os.File) error {
	var text []byte
	var acks []ack
	for range t.arrived {
		t.mu.Lock()
		acks, t.acks = t.acks, acks[:0]
		t.mu.Unlock()
		text = text[:0]
		for range acks {
			text = append(text, "one thousand, two hundred and thirty-four\n"...)
		}
		if _, err := file.Write(text); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		for _, a := range acks { // each session's go out in one write
			a.session.Cork()
		}
		for _, a := range acks {
			a.session.Ack(a.id)
			a.session.Uncork()
		}
	}
	return nil
}

func main() {
	var handler socketio.Handler = acker{}
	if len(os.Args) > 2 {
		file, err := os.Create(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		t := &storer{arrived: make(chan struct{}, 1)}
		go func() { log.Fatal(t.store(file)) }()
		handler = t
	}
	http.Handle("/socket.io/", socketio.New(map[string]socketio.Handler{"/": handler}, engineio.Options{}))
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
