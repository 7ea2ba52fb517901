package metrics

import "counting/server/protocol"

// Missed does nothing: the room counts what was left out.
func (m *Metrics) Missed(int64, []protocol.Seat) {}
