package engineio_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"counting/server/engineio"
)

// echo sends every message back.
type echo struct{ session *engineio.Session }

func (echo) Heartbeat()   {}
func (echo) Close(string) {}
func (e echo) Message(data []byte, binary bool) {
	if binary {
		e.session.SendBinary(data)
	} else {
		e.session.Send(string(data))
	}
}

// A server that echoes messages, and a client that polls it.
func Example() {
	engine := engineio.New(func(s *engineio.Session) engineio.Handler { return echo{s} }, engineio.Options{})
	defer engine.Close()
	server := httptest.NewServer(engine)
	defer server.Close()

	request := func(method, url, packets string) string {
		r, _ := http.NewRequest(method, url, strings.NewReader(packets))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	url := server.URL + "/engine.io/?EIO=4&transport=polling"
	_, sid, _ := strings.Cut(request("GET", url, ""), `"sid":"`)
	url += "&sid=" + sid[:20]
	request("POST", url, "4hello\x1ebAQID")
	fmt.Printf("%q\n", request("GET", url, ""))
	// Output: "4hello\x1ebAQID"
}
