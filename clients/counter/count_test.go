package counter

import (
	"slices"
	"testing"

	"counting/server/protocol"
)

// A step is one event of a count.
type step func(*count)

func assigned(seat protocol.Seat, last float64) step {
	return func(c *count) {
		if err := c.assign(protocol.Assignment{ClientID: seat.String(), LastNumber: protocol.Float(last)}); err != nil {
			panic(err)
		}
	}
}
func acked(n int64) step { return func(c *count) { c.ack(n) } }
func start(c *count)     { c.running = true }
func stop(c *count)      { c.running = false }
func due(c *count)       { c.due = true }
func refused(c *count)   { c.refuse() }
func lost(c *count)      { c.lose() }

func TestCount(t *testing.T) {
	t.Parallel()
	const client1, client2 = protocol.Client1, protocol.Client2
	tests := []struct {
		name  string
		limit int64
		steps []step
		sends []int64
		stage stage
	}{
		{"nothing is sent before the game starts", 10,
			[]step{assigned(client1, 1), due}, nil, counting},
		{"nothing is sent before the interval is over", 10,
			[]step{assigned(client1, 1), start}, nil, counting},
		{"nothing is sent without a seat", 10,
			[]step{start, due}, nil, counting},
		{"the game may start before the seat is assigned", 10,
			[]step{start, due, assigned(client2, 2)}, []int64{2}, counting},
		{"the next number waits for the ack of the last", 10,
			[]step{assigned(client1, 1), start, due, due}, []int64{1}, counting},
		{"an interval that ends before the ack is not waited for again", 10,
			[]step{assigned(client1, 1), start, due, due, acked(1)}, []int64{1, 3}, counting},
		{"an interval that ends after the ack is waited for", 10,
			[]step{assigned(client1, 1), start, due, acked(1)}, []int64{1}, counting},
		{"an ack for a number that was not sent is ignored", 10,
			[]step{assigned(client1, 1), start, due, acked(3), due}, []int64{1}, counting},
		{"a second ack is ignored", 10,
			[]step{assigned(client1, 1), start, due, acked(1), acked(1), due}, []int64{1, 3}, counting},
		{"a stopped game sends nothing and takes the ack that is due", 10,
			[]step{assigned(client1, 1), start, due, stop, due, acked(1), start}, []int64{1, 3}, counting},
		{"the server's number is the next", 100,
			[]step{assigned(client2, 58), start, due}, []int64{58}, counting},
		{"a fraction on the original goes on at the seat's next number", 100,
			[]step{assigned(client1, 3.5), start, due}, []int64{5}, counting},
		{"a number of the other seat goes on at the seat's next number", 100,
			[]step{assigned(client1, 56), start, due}, []int64{57}, counting},
		{"a number below one is the seat's first", 100,
			[]step{assigned(client2, -1e300), start, due}, []int64{2}, counting},
		{"an unacked number is sent again in the next session", 100,
			[]step{assigned(client1, 57), start, due, lost, assigned(client1, 57), start, due}, []int64{57, 57}, counting},
		{"a server that holds the unacked number is believed", 100,
			[]step{assigned(client1, 57), start, due, lost, assigned(client1, 59), start, due}, []int64{57, 59}, counting},
		{"a server that forgot everything is not", 100,
			[]step{assigned(client1, 57), start, due, acked(57), lost, assigned(client1, 1), start, due}, []int64{57, 59}, counting},
		{"an acked number on one seat skips none of the other", 100,
			[]step{assigned(client1, 57), start, due, acked(57), lost, assigned(client2, 58), start, due}, []int64{57, 58}, counting},
		{"an unacked number on one seat skips none of the other", 100,
			[]step{assigned(client1, 57), start, due, lost, assigned(client2, 56), start, due}, []int64{57, 56}, counting},
		{"a server that forgot everything is not believed on another seat either", 100,
			[]step{assigned(client1, 57), start, due, acked(57), lost, assigned(client2, 2), start, due}, []int64{57, 58}, counting},
		{"after a refusal the server is believed", 100,
			[]step{assigned(client1, 57), start, due, acked(57), due, refused, lost, assigned(client1, 3), start, due}, []int64{57, 59, 3}, counting},
		{"the ack of the limit ends it", 2,
			[]step{assigned(client2, 2), start, due, acked(2)}, []int64{2}, ended},
		{"the ack of an odd limit ends it", 1,
			[]step{assigned(client1, 1), start, due, acked(1)}, []int64{1}, ended},
		{"with nothing left to count a running game is waited for", 2,
			[]step{assigned(client1, 1), start, due, acked(1), due}, []int64{1}, counting},
		{"with nothing left to count a stopped game is left", 2,
			[]step{assigned(client1, 1), start, due, acked(1), stop}, []int64{1}, idle},
		{"a last number without ack keeps the client", 2,
			[]step{assigned(client1, 1), start, due, stop}, []int64{1}, counting},
		{"a client that comes too late leaves a game that does not start", 2000,
			[]step{assigned(client1, 2001)}, nil, idle},
		{"a client that lost its session is not idle", 2,
			[]step{assigned(client1, 1), start, due, acked(1), stop, lost}, []int64{1}, counting},
		{"a client without a number below the limit is idle", 1,
			[]step{assigned(client2, 2)}, nil, idle},
		{"the limit is counted again if the server has it but its ack was lost", 2000,
			[]step{assigned(client2, 2000), start, due, lost, assigned(client2, 2002), start, due, acked(2000)}, []int64{2000, 2000}, ended},
		{"the limit is counted again by a client that never sent it", 2000,
			[]step{assigned(client2, 2002), start, due, acked(2000)}, []int64{2000}, ended},
		{"the last number below the limit is not counted again", 2000,
			[]step{assigned(client1, 2001), start, due}, nil, counting},
		{"a client that stays counts nothing more", 2,
			[]step{assigned(client2, 2), start, due, acked(2), lost, assigned(client2, 4), start, due}, []int64{2}, ended},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := count{limit: tt.limit}
			var sends []int64
			for _, step := range tt.steps {
				step(&c)
				if n := c.turn(); n != 0 {
					sends = append(sends, n)
				}
			}
			if !slices.Equal(sends, tt.sends) {
				t.Errorf("sent %d, want %d", sends, tt.sends)
			}
			if got := c.stage(); got != tt.stage {
				t.Errorf("stage is %d, want %d", got, tt.stage)
			}
		})
	}
}

func TestAssignmentsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, a := range []protocol.Assignment{
		{},
		{ClientID: "client3", LastNumber: protocol.Int(1)},
		{ClientID: "client1\nclient1 counting: one", LastNumber: protocol.Int(1)},
		{ClientID: "client1", LastNumber: protocol.Float(1e300)},
	} {
		c := count{limit: 10, running: true, due: true}
		if err := c.assign(a); err == nil {
			t.Errorf("%+v: no error", a)
		}
		if n := c.turn(); n != 0 {
			t.Errorf("%+v: sends %d", a, n)
		}
	}
}
