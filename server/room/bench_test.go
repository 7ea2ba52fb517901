package room

import (
	"strconv"
	"testing"

	"counting/server/game"
)

// discarding is a Session that drops what it is sent.
type discarding struct{}

func (discarding) Emit(string, ...any) {}
func (discarding) Ack(string, ...any)  {}
func (discarding) Admit()              {}
func (discarding) Refuse(string)       {}
func (discarding) Dismiss()            {}
func (discarding) Close()              {}
func (discarding) Owe(int)             {}
func (discarding) Slow()               {}
func (discarding) Cork()               {}
func (discarding) Uncork()             {}

// BenchmarkNumber handles a number from its event to its ack. Each write has 64 of them.
func BenchmarkNumber(b *testing.B) {
	b.ReportAllocs()
	r := New(game.New(0), Options{Count: new(fakeFile), Fail: func(err error) { b.Fatal(err) }})
	defer func() {
		r.Close()
		<-r.Finish()
	}()
	r.Connect("A", "a", discarding{})
	r.Connect("B", "b", discarding{})
	written := r.Callbacks().OnCommit
	var text []byte
	for n := int64(1); b.Loop(); n++ {
		session, seat := "A", "client1"
		if n%2 == 0 {
			session, seat = "B", "client2"
		}
		text = append(append(text[:0], `{"client_id":"`...), seat...)
		text = append(strconv.AppendInt(append(text, `","number":`...), n, 10), '}')
		r.Number(session, []string{string(text)}, false, "7")
		if n%64 == 0 {
			written(n, 0)
		}
	}
}
