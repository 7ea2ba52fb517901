package contract

import (
	"regexp"
	"slices"
	"testing"

	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/tape"
)

// undocumented are the recordings in which clients intentionally send what the document of
// the original does not allow: mistakes, and events that only the default mode has. In all
// others they do not.
var undocumented = []string{
	"auth-payloads",
	"binary-numbers",
	"broken-packets-polling",
	"broken-packets-websocket",
	"client-ids",
	"number-no-number",
	"odd-payloads",
	"other-namespaces",
	"packets-that-end-a-session",
	"posts-of-many-packets",
	"whole-numbers-without-end",
}

func recordings(t *testing.T, mode string) []*tape.Recording {
	t.Helper()
	if mode == string(Faithful) {
		mode = "" // nothing is expected to differ
	}
	all, err := replay.ReadAll("../recordings", mode)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// number matches numbers, and their ack ids.
var number = regexp.MustCompile(`^4[25](?:\d-)?(?:/,)?(\d*)\["number"`)

// packets returns the lines with packets of one side, without attachments.
func packets(r *tape.Recording, from string) []tape.Line {
	return slices.DeleteFunc(slices.Clone(r.Lines), func(l tape.Line) bool {
		return l.HTTP != nil || l.Packet == nil || l.Binary || l.From != from
	})
}

// Everything that the original sent, and that the Go server is expected to send in default
// mode, conforms to the document.
func TestServersConformToTheDocument(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Faithful, Default} {
		for _, r := range recordings(t, string(mode)) {
			for _, l := range packets(r, tape.Server) {
				if err := mode.Check(l.From, *l.Packet); err != nil {
					t.Errorf("%s, %s.jsonl:%d: %v", mode, r.Name, l.Number, err)
				}
			}
		}
	}
}

// What clients send conforms to the document, except where that is intended.
func TestClientsConformToTheDocument(t *testing.T) {
	t.Parallel()
	for _, r := range recordings(t, string(Faithful)) {
		found := false
		for _, l := range packets(r, tape.Client) {
			err := Faithful.Check(l.From, *l.Packet)
			found = found || err != nil
			if err != nil && !slices.Contains(undocumented, r.Name) {
				t.Errorf("%s.jsonl:%d: %v", r.Name, l.Number, err)
			}
		}
		if !found && slices.Contains(undocumented, r.Name) {
			t.Errorf("%s: all that clients send conforms to the document", r.Name)
		}
	}
}

// The document allows exactly the numbers that the original wrote to the file.
func TestTheOriginalWritesWhatTheDocumentAllows(t *testing.T) {
	t.Parallel()
	joins := regexp.MustCompile(`^40($|[^/]|/[,?])`)
	// Packets that end a polling session, so that later ones are not handled.
	ends := regexp.MustCompile(`^[0126-9]`)
	// The original accepts integers of at most 100 characters, which a schema of the
	// value cannot express.
	tooLong := regexp.MustCompile(`"number":-?\d{100}`)
	for _, r := range recordings(t, string(Faithful)) {
		joined, allowed := map[string]bool{}, []string{}
		type post struct {
			session string
			at      float64
		}
		posted := map[post]int{} // packets in one body
		for _, l := range packets(r, tape.Client) {
			if l.Over == "polling" {
				posted[post{l.Session, l.At}]++
			}
		}
		for _, l := range packets(r, tape.Client) {
			switch {
			case posted[post{l.Session, l.At}] > 16: // all of it is dropped
			case tooLong.MatchString(*l.Packet):
			case l.Over == "polling" && ends.MatchString(*l.Packet), *l.Packet == "1":
				joined[l.Session] = false
			case *l.Packet == "41":
				joined[l.Session] = false
			case Faithful.Check(l.From, *l.Packet) != nil:
			case joins.MatchString(*l.Packet):
				joined[l.Session] = true
			case joined[l.Session] && number.MatchString(*l.Packet):
				allowed = append(allowed, *l.Packet)
			}
		}
		if len(allowed) != len(*r.End.State) {
			t.Errorf("%s: the document allows %d numbers, %q\nthe original wrote %d, %q", r.Name, len(allowed), allowed, len(*r.End.State), *r.End.State)
		}
	}
}

// In default mode a number that the document does not allow gets no empty ack.
func TestTheDefaultModeRefusesWhatTheDocumentForbids(t *testing.T) {
	t.Parallel()
	wrong := 0
	for _, r := range recordings(t, string(Default)) {
		refused := map[string][]string{} // by session and ack id, what has to be refused
		for _, l := range r.Lines {
			switch {
			case l.HTTP != nil || l.Packet == nil || l.Binary:
			case l.From == tape.Client:
				m := number.FindStringSubmatch(*l.Packet)
				if m == nil {
					continue
				}
				ack := "43" + m[1] + "[]"
				refused[l.Session] = slices.DeleteFunc(refused[l.Session], func(a string) bool { return a == ack })
				if Default.Check(l.From, *l.Packet) != nil {
					wrong++
					refused[l.Session] = append(refused[l.Session], ack)
				}
			case slices.Contains(refused[l.Session], *l.Packet):
				t.Errorf("%s.jsonl:%d: %s for a number that the document does not allow", r.Name, l.Number, *l.Packet)
			}
		}
	}
	if wrong == 0 {
		t.Error("there is no such number in any recording")
	}
}
