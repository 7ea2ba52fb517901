package game

import (
	"testing"

	"counting/server/protocol"
)

// BenchmarkStep handles one number of the seat whose turn it is, and its line.
func BenchmarkStep(b *testing.B) {
	b.ReportAllocs()
	g := New(0)
	g.Connect("A", "")
	g.Connect("B", "")
	for n := int64(1); b.Loop(); n++ {
		session, seat := Session("A"), "client1"
		if n%2 == 0 {
			session, seat = "B", "client2"
		}
		g.Number(session, Number{ClientID: seat, Value: protocol.Int(n)}, "1")
		g.Written(n, func(Session, AckID) {})
	}
}
