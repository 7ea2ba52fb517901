package recording

import (
	"fmt"
	"strings"
	"time"
)

// A Peer plays a recording's client side and knows what the server did. The
// replayer is one; another recording can be one too.
type Peer interface {
	// Play does what a client did that long after the line before: one line,
	// or the packets of one POST. It returns how the server refused, or "".
	Play(lines []Line, after time.Duration) (refused string, err error)
	// Exchange makes an HTTP exchange and returns its answer.
	Exchange(x Exchange, after time.Duration) (Exchange, error)
	// Next takes the next thing that the server did on a session. It waits for
	// it, knowing how long the recorded server took, unless that is NoWait. ok
	// is false if nothing came.
	Next(session string, took time.Duration) (l Line, ok bool)
	// Settle waits until the server has nothing more to say, and returns the
	// lines of its numbers.txt, or nil if they cannot be had. It waits for
	// enough to hold, for as long as it has patience.
	Settle(enough func(numbers []string) bool) (numbers []string, err error)
}

// NoWait asks Next for what has come already.
const NoWait time.Duration = -1

// A Difference is the first place where a server does something else than
// what was recorded.
type Difference struct {
	Line     int    // of the file; 0 is behind the last line
	Where    string // the session, or what else is compared there
	After    string // the last thing that the client side did
	Recorded string
	Came     string
}

func (d *Difference) String() string {
	line := "at the end"
	if d.Line > 0 {
		line = fmt.Sprintf("line %d", d.Line)
	}
	s := fmt.Sprintf("%s, %s\n  recorded: %s\n  came:     %s", line, d.Where, short(d.Recorded), short(d.Came))
	if d.After != "" {
		s += "\n  after:    " + short(d.After)
	}
	return s
}

// short keeps long packets from hiding the rest.
func short(text string) string {
	const head, tail = 200, 50
	if len(text) <= head+tail {
		return text
	}
	return fmt.Sprintf("%s … %d bytes … %s", text[:head], len(text)-head-tail, text[len(text)-tail:])
}

// Compare plays r's client side through p and returns the first difference
// between what the server did then and now, or nil. The rules are in FORMAT.md.
func Compare(r *Recording, p Peer) (*Difference, error) {
	c := &comparison{Recording: r, Peer: p, sessions: map[string]*session{}}
	for i := 0; i < len(r.Lines); {
		n := c.together(i)
		d, err := c.step(r.Lines[i:i+n], c.since(i))
		if d != nil || err != nil {
			return d, err
		}
		i += n
	}
	return c.end()
}

type comparison struct {
	*Recording
	Peer
	sessions map[string]*session
	order    []string // the sessions as they were opened
	after    string
}

// A session says which of the things that a server does on it are compared.
type session struct {
	heartbeat bool // the recording has a ping from the server
	upgraded  bool // the client has opened a WebSocket on top of polling
	left      bool // the client has left: rule 6
}

// together counts the lines from i on that went in one POST.
func (r *Recording) together(i int) int {
	first := r.Lines[i]
	n := 1
	for ; i+n < len(r.Lines) && first.posts(); n++ {
		l := r.Lines[i+n]
		if !l.posts() || l.Session != first.Session || l.At != first.At {
			break
		}
	}
	return n
}

func (l Line) posts() bool {
	return l.From == Client && l.Over == Polling && l.Packet != nil
}

// since is the time that passed before line i was recorded.
func (r *Recording) since(i int) time.Duration {
	before := r.Lines[max(i-1, 0)].At
	return time.Duration((r.Lines[i].At - before) * float64(time.Second))
}

func (c *comparison) step(lines []Line, took time.Duration) (*Difference, error) {
	l := lines[0]
	switch {
	case l.HTTP != nil:
		return c.exchange(l, took)
	case l.From == Client:
		return c.client(lines, took)
	}
	return c.server(l, took), nil
}

func (c *comparison) exchange(l Line, after time.Duration) (*Difference, error) {
	came, err := c.Exchange(*l.HTTP, after)
	if err != nil {
		return nil, fmt.Errorf("line %d: %s %s: %w", l.Number, l.HTTP.Method, l.HTTP.URL, err)
	}
	if SameExchange(*l.HTTP, came) {
		return nil, nil
	}
	came.ResponseHeaders = only(came.ResponseHeaders, l.HTTP.ResponseHeaders)
	where := l.HTTP.Method + " " + l.HTTP.URL
	return &Difference{Line: l.Number, Where: where, After: c.after, Recorded: l.String(), Came: came.String()}, nil
}

func (c *comparison) client(lines []Line, after time.Duration) (*Difference, error) {
	refused, err := c.Play(lines, after)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", lines[0].Number, err)
	}
	s := c.session(lines[0].Session)
	for _, l := range lines {
		s.note(l)
		c.after = fmt.Sprintf("client %s (line %d): %s", l.Session, l.Number, l)
	}
	if refused == "" {
		return nil, nil
	}
	l := lines[len(lines)-1]
	return &Difference{Line: l.Number, Where: "session " + l.Session,
		Recorded: fmt.Sprintf("the server took the client's %s", l), Came: refused}, nil
}

func (c *comparison) server(l Line, took time.Duration) *Difference {
	s := c.session(l.Session)
	if !s.compares(l) {
		return nil
	}
	came, ok := c.next(l.Session, took)
	if ok && same(l, came) {
		return nil
	}
	d := &Difference{Line: l.Number, Where: "session " + l.Session, After: c.after, Recorded: l.String(), Came: "nothing"}
	if ok {
		d.Came = came.String()
	}
	return d
}

func same(recorded, came Line) bool {
	if recorded.Packet == nil || came.Packet == nil {
		return recorded.Close == came.Close && recorded.Packet == came.Packet
	}
	return recorded.Binary == came.Binary && SamePacket(*recorded.Packet, *came.Packet)
}

// next is Next without what is passed over.
func (c *comparison) next(session string, took time.Duration) (Line, bool) {
	for {
		l, ok := c.Next(session, took)
		if !ok || c.session(session).compares(l) {
			return l, ok
		}
	}
}

func (c *comparison) end() (*Difference, error) {
	numbers, err := c.Settle(c.SameNumbers)
	if err != nil {
		return nil, err
	}
	for _, name := range c.order {
		if l, ok := c.next(name, NoWait); ok {
			return &Difference{Where: "session " + name, After: c.after, Recorded: "nothing more", Came: l.String()}, nil
		}
	}
	if numbers == nil || c.SameNumbers(numbers) {
		return nil, nil
	}
	return c.numbersDifference(numbers), nil
}

func (c *comparison) session(name string) *session {
	s := c.sessions[name]
	if s == nil {
		s = &session{heartbeat: c.Heartbeat(name)}
		c.sessions[name] = s
		c.order = append(c.order, name)
	}
	return s
}

// Heartbeat reports whether pings were recorded on a session, so that they are
// played and compared like anything else.
func (r *Recording) Heartbeat(session string) bool {
	for _, l := range r.Lines {
		if l.Session == session && l.From == Server && l.Packet != nil && *l.Packet == "2" {
			return true
		}
	}
	return false
}

// note takes down what the client did.
func (s *session) note(l Line) {
	switch {
	case l.Open:
		s.upgraded = l.Over == WebSocket
	case l.Close:
		s.left = true
	case l.Packet != nil && (*l.Packet == "1" || *l.Packet == "41" || *l.Packet == "41/,"):
		s.left = true
	}
}

// compares reports whether something that the server did is to be compared
// (rules 5 and 6).
func (s *session) compares(l Line) bool {
	return !s.left && !s.passesOver(l)
}

// passesOver is rule 5.
func (s *session) passesOver(l Line) bool {
	if l.Packet == nil || l.Binary {
		return false
	}
	switch *l.Packet {
	case "", "6":
		return true
	case "1":
		return s.upgraded && l.Over == Polling
	case "2", "3":
		return !s.heartbeat
	}
	return false
}

// only keeps the headers that were asked for.
func only(headers, asked map[string]string) map[string]string {
	kept := map[string]string{}
	for name := range asked {
		if v, ok := headers[name]; ok {
			kept[name] = v
		}
	}
	return kept
}

func (c *comparison) numbersDifference(came []string) *Difference {
	i := 0
	for i < len(came) && i < len(c.Numbers) && came[i] == c.Numbers[i] {
		i++
	}
	return &Difference{
		Where:    fmt.Sprintf("numbers.txt from its line %d", i+1),
		Recorded: listed(c.Numbers[i:]),
		Came:     listed(came[i:]),
	}
}

func listed(lines []string) string {
	const enough = 12
	if len(lines) == 0 {
		return "the end of the file"
	}
	if len(lines) > enough {
		return strings.Join(lines[:enough], ", ") + fmt.Sprintf(" … and %d more", len(lines)-enough)
	}
	return strings.Join(lines, ", ")
}
