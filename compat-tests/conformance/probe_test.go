package conformance

import (
	"context"
	"net/http"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"github.com/gorilla/websocket"
	"strings"
)

func TestMain(m *testing.M) { subject.Main(m) }

func wsTry(t *testing.T, s server, query string, sends ...string) {
	conn, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.at(query), "http"), nil)
	if err != nil {
		st := ""
		if res != nil {
			st = res.Status
		}
		t.Logf("ws %s: %v %s", query, err, st)
		return
	}
	defer conn.Close()
	for _, x := range sends {
		conn.WriteMessage(1, []byte(x))
	}
	for {
		conn.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
		_, d, err := conn.ReadMessage()
		t.Logf("ws %s %q: %q %v", query, sends, d, err)
		if err != nil {
			return
		}
	}
}

func TestProbe(t *testing.T) {
	for name, s := range map[string]server{"go": {subject.GoServer(t), false}, "gof": {subject.GoServer(t, "-faithful"), false}, "flask": {subject.Flask(t), true}} {
		t.Run(name, func(t *testing.T) {
			t.Log(request(t, "GET", s.at("EIO=4"), ""))
			wsTry(t, s, "EIO=4")
			wsTry(t, s, "EIO=4&transport=abc")
			wsTry(t, s, "EIO=4&transport=websocket", "abc")
			wsTry(t, s, "EIO=4&transport=websocket", "4abc", "40", "4abc", "42{}", "42abc[\"number\"]", numberWithAck)
			p := openPolling(t, s)
			t.Log("abc ", p.post("abc"))
			t.Log("then ", func() any {
				a := p.pollLater()
				select {
				case x := <-a:
					return x
				case <-time.After(time.Second):
					return "hangs"
				}
			}())
			p = joinPolling(t, s)
			t.Log("number+binary ", p.post(numberWithAck+separator+"bAQIDBA=="), p.poll())
			t.Log("binary+number ", p.post("bAQIDBA=="+separator+numberWithAck), p.poll())
			a := p.pollLater()
			time.Sleep(50 * time.Millisecond)
			b := p.pollLater()
			select {
			case x := <-a:
				t.Log("dup first ", x)
			case <-time.After(time.Second):
				t.Log("dup first hangs")
			}
			select {
			case x := <-b:
				t.Log("dup second ", x)
			case <-time.After(time.Second):
				t.Log("dup second hangs")
			}
			t.Log("then post ", p.post(numberWithAck))
			select {
			case x := <-a:
				t.Log("dup first ", x)
			case x := <-b:
				t.Log("dup second ", x)
			case <-time.After(time.Second):
				t.Log("both hang")
			}
			t.Log("leave", p.post("1"))

			p = joinPolling(t, s)
			a = p.pollLater()
			time.Sleep(50 * time.Millisecond)
			t.Log("close post ", p.post("1"))
			select {
			case x := <-a:
				t.Log("poll ", x)
			case <-time.After(time.Second):
				t.Log("poll hangs")
			}
			t.Log("then ", p.poll())
			p = openPolling(t, s)
			a = p.pollLater()
			time.Sleep(50 * time.Millisecond)
			t.Log("close without join post ", p.post("1"))
			select {
			case x := <-a:
				t.Log("poll ", x)
			case <-time.After(time.Second):
				t.Log("poll hangs")
			}
			t.Log("then ", p.poll())

			p = joinPolling(t, s)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				r, _ := http.NewRequestWithContext(ctx, "GET", p.url(), nil)
				http.DefaultClient.Do(r)
			}()
			time.Sleep(50 * time.Millisecond)
			cancel()
			time.Sleep(50 * time.Millisecond)
			t.Log("cancelled, then post ", p.post(numberWithAck))
			a = p.pollLater()
			select {
			case x := <-a:
				t.Log("poll ", x)
			case <-time.After(time.Second):
				t.Log("poll hangs")
			}

			p = joinPolling(t, s)
			q := "EIO=4&transport=websocket&sid=" + p.sid
			c := dial(t, s, q)
			c.send("2probe")
			c.expect("3probe")
			c.send("5")
			t.Log("get after upgrade ", p.pollNow(time.Second))
			t.Log("post after upgrade ", p.post(numberWithAck))
			t.Log("get after upgrade ", p.pollNow(time.Second))
			wsTry(t, s, q, "2probe")
			c.send(numberWithAck)
			for {
				c.SetReadDeadline(time.Now().Add(time.Second))
				_, d, err := c.ReadMessage()
				t.Logf("upgraded %q %v", d, err)
				if err != nil {
					break
				}
			}
		})
	}
}

func (p *poller) pollNow(d time.Duration) any {
	select {
	case a := <-p.pollLater():
		return a
	case <-time.After(d):
		return "hangs"
	}
}
