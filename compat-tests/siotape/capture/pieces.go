package capture

import (
	"context"
	"time"
	"unicode/utf8"

	"counting/compat-tests/siotape/tape"
)

// answering and answeredBody are called before and after the body of an answer.
func (a *assembler) answering(x *exchange) {
	if x.isEngineIO() || x.res.Header.Get("Content-Encoding") != "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[x] = true
}

func (a *assembler) answeredBody(x *exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, x)
}

// writePieces writes long answers piece by piece, so that a recorder that is killed has
// what was received before.
func (a *assembler) writePieces(ctx context.Context) {
	tick := time.NewTicker(time.Second / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		a.mu.Lock()
		var open []*exchange
		for x := range a.open {
			if x.asked < a.proxy.elapsed()-time.Second {
				open = append(open, x)
			}
		}
		a.mu.Unlock()
		for _, x := range open {
			a.writePiece(x)
		}
	}
}

func (p *Proxy) elapsed() time.Duration { return time.Since(p.start) }

// writePiece writes what was received of an answer since the last piece.
func (a *assembler) writePiece(x *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	data := x.answer.Bytes()[x.written:]
	if !x.complete { // do not split a character
		for i := 1; i <= 3 && i <= len(data); i++ {
			if b := data[len(data)-i]; b >= 0xc0 {
				data = data[:len(data)-i]
				break
			} else if b < 0x80 {
				break
			}
		}
	}
	if x.id == 0 {
		a.mu.Lock()
		a.pieces++
		x.id = a.pieces
		a.counts.Exchanges++
		a.mu.Unlock()
		l := a.exchangeLine(x)
		l.HTTP.ID, l.HTTP.Response, l.HTTP.Incomplete = x.id, string(data), !x.complete
		x.written += len(data)
		a.put(x.asked, l)
		return
	}
	if len(data) == 0 && !x.complete {
		return
	}
	more := &tape.More{ID: x.id, Response: string(data)}
	if !utf8.Valid(data) {
		more.Response, more.Base64 = toBase64(data), true
	}
	if x.complete {
		more.Done = max(seconds(x.answered-x.asked), 1e-6)
	}
	x.written += len(data)
	a.put(x.answered, tape.Line{More: more})
}
