package conformance

import (
	"testing"

	"counting/compat-tests/harness"
)

var socketIO = map[string]func(*testing.T, *harness.Server){
	"connect/should allow connection to the main namespace": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send("40")
		c.expect(answerTimeout, `42["client_assigned",`, `40{"sid":"`)
	},
	"connect/should allow connection to the main namespace with a payload": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send(`40{"token":"123"}`)
		c.expect(answerTimeout, `42["client_assigned",`, `40{"sid":"`)
	},
	"connect/should disallow connection to an unknown namespace": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send("40/random")
		c.expect(answerTimeout, `44/random,"Unable to connect"`)
	},
	"connect/should disallow connection with an invalid handshake": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send("4abc", "40")
		c.expect(answerTimeout, `40{"sid":"`)
	},
	"connect/should close the connection if no handshake is received": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.expect(pingTimeout, "2")
		c.send("3") // so that the heartbeat does not end it
		c.expectClosed(sessionTimeout)
	},

	"disconnect/should disconnect from the main namespace": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send("41")
		c.expect(pingTimeout, "2")
	},

	"message/should send a plain-text packet": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send(numberAsking(""))
		s.Prints(t, "Received one from client1")
	},
	"message/should send a packet with binary attachments": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send(`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.sendBinary(1, 2, 3)
		c.sendBinary(4, 5, 6)
		c.send(number)
		c.expect(answerTimeout, ack)
	},
	"message/should send a plain-text packet with an ack": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send(numberAsking("456"))
		c.expect(answerTimeout, "43456[]")
	},
	"message/should send a packet with binary attachments and an ack": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send(`451-789["number",{"client_id":{"_placeholder":true,"num":0},"number":1}]`)
		c.sendBinary(1, 2, 3)
		c.expect(answerTimeout, `43789[{"error":"`)
	},
	"message/should close the connection upon invalid format (unknown packet type)": func(t *testing.T, s *harness.Server) {
		expectIgnored(t, s, "4abc")
	},
	"message/should close the connection upon invalid format (invalid payload format)": func(t *testing.T, s *harness.Server) {
		expectIgnored(t, s, "42{}")
	},
	"message/should close the connection upon invalid format (invalid ack id)": func(t *testing.T, s *harness.Server) {
		expectIgnored(t, s, `42abc["message-with-ack",1,"2",{"3":[false]}]`)
	},
}

// expectIgnored sends a packet that must have no effect.
func expectIgnored(t *testing.T, s *harness.Server, packet string) {
	t.Helper()
	c := joinSocket(t, s)
	c.send(packet, number)
	c.expect(answerTimeout, ack)
}
