package game

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"counting/server/protocol"
)

// rules is implemented by both modes.
type rules interface {
	Connect(s Session, address string) []Effect
	GiveUp(s Session) []Effect
	Disconnect(s Session) []Effect
	Number(s Session, n Number, id AckID) []Effect
	Written(line int64, ack func(Session, AckID))
}

// step is one event and the effects that it must have.
type step struct {
	event string
	do    func(g rules) []Effect
	want  []Effect
}

func connect(s Session, want ...Effect) step {
	return step{"connect " + string(s), func(g rules) []Effect { return g.Connect(s, "") }, want}
}

func connectFrom(address string, s Session, want ...Effect) step {
	return step{"connect " + string(s), func(g rules) []Effect { return g.Connect(s, address) }, want}
}

func disconnect(s Session, want ...Effect) step {
	return step{"disconnect " + string(s), func(g rules) []Effect { return g.Disconnect(s) }, want}
}

func giveUp(s Session, want ...Effect) step {
	return step{"give up " + string(s), func(g rules) []Effect { return g.GiveUp(s) }, want}
}

func number(s Session, clientID string, n float64, id AckID, want ...Effect) step {
	return step{fmt.Sprintf("number %v from %s", n, s), func(g rules) []Effect { return g.Number(s, num(clientID, n), id) }, want}
}

// num returns a number as a client sends it, with placeholder words.
func num(clientID string, n float64) Number {
	if n == math.Trunc(n) {
		return Number{ClientID: clientID, Value: protocol.Int(int64(n)), Words: "words"}
	}
	return Number{ClientID: clientID, Value: protocol.Float(n), Words: "words"}
}

func broken(s Session, id AckID, want ...Effect) step {
	return step{"a broken number", func(g rules) []Effect { return g.Number(s, Number{Err: errBroken}, id) }, want}
}

var errBroken = errors.New("it is odd")

// acked returns the acks that are due when the lines up to line are written.
func acked(g rules, line int64) (acks []Effect) {
	g.Written(line, func(s Session, id AckID) { acks = append(acks, Ack{Session: s, ID: id}) })
	return acks
}

func written(line int64, want ...Effect) step {
	return step{fmt.Sprintf("written %d", line), func(g rules) []Effect { return acked(g, line) }, want}
}

func assign(s Session, seat protocol.Seat, next int64) []Effect {
	return []Effect{
		Seated{s, seat},
		Emit{s, protocol.ClientAssigned, protocol.Assignment{ClientID: seat.String(), LastNumber: protocol.Int(next)}},
	}
}

func start(s Session) Effect { return Emit{s, protocol.StartGame, nil} }

func stop(s Session) Effect { return Emit{s, protocol.StopGame, nil} }

// seated returns the events that seat A on client1 and B on client2 of a new game.
func seated(next1, next2 int64) []step {
	return []step{
		connect("A", append(assign("A", protocol.Client1, next1), Admit{"A"})...),
		connect("B", append(assign("B", protocol.Client2, next2), start("A"), start("B"), Admit{"B"})...),
	}
}

func play(t *testing.T, g rules, steps []step) {
	t.Helper()
	for i, s := range steps {
		got := s.do(g)
		if len(got) == 0 && len(s.want) == 0 {
			continue
		}
		if diff := cmp.Diff(s.want, got, unexported); diff != "" {
			t.Fatalf("step %d, %s: want -, got +\n%s", i+1, s.event, diff)
		}
	}
}

// unexported makes cmp compare the fields of protocol.Value.
var unexported = cmp.Exporter(func(reflect.Type) bool { return true })
