package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"counting/server/protocol"
)

// ParseURL returns the address of the Socket.IO server at rawURL, such as
// "http://localhost:5000". White space around it is ignored. A query is kept, and a user
// name and password are sent as Basic authentication. A path is that of a proxy:
// "socket.io/" is appended to it unless it ends with that.
func ParseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "http"
	case "https", "wss":
		u.Scheme = "https"
	default:
		return nil, errors.New("it does not begin with http:// or https://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("it has no host")
	}
	if u.Port() != "" {
		if _, err := net.LookupPort("tcp", u.Port()); err != nil {
			return nil, fmt.Errorf("port %s does not exist", u.Port())
		}
	}
	prefix := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), strings.TrimRight(protocol.Path, "/"))
	u.Path, u.RawPath = strings.TrimRight(prefix, "/")+protocol.Path, ""
	query := u.Query()
	query.Set("EIO", "4")
	query.Del("transport")
	u.RawQuery, u.Fragment = query.Encode(), ""
	return u, nil
}

// over returns u for requests of a transport, and of the session sid if that is not "".
func over(u *url.URL, transport, sid string) *url.URL {
	of := *u
	query := of.Query()
	query.Set("transport", transport)
	if sid != "" {
		query.Set("sid", sid)
	}
	of.RawQuery = query.Encode()
	return &of
}

// maxReason is how many bytes are read of the reason in a response.
const maxReason = 300

// statusError returns the error for an unexpected status of a response to a request for
// u. It includes the proxy or the program that answered, if the response names it, and
// the reason if the body is a JSON string, as that of the server is.
func statusError(u *url.URL, response *http.Response) error {
	text := fmt.Sprintf("the server answered %.60s", response.Status)
	if via := response.Header.Get("Via"); via != "" {
		text = fmt.Sprintf("a proxy (%.60s) answered %.60s", via, response.Status)
	} else if program := response.Header.Get("Server"); program != "" {
		text += fmt.Sprintf(" (%.60s)", program)
	}
	var reason string
	if body, err := io.ReadAll(io.LimitReader(response.Body, maxReason)); err == nil && json.Unmarshal(body, &reason) == nil {
		text += fmt.Sprintf(": %q", reason)
	}
	return proxyError(u, errors.New(text))
}

// proxyError adds to an error the proxy for u from the environment, if there is one.
func proxyError(u *url.URL, err error) error {
	proxy, _ := http.ProxyFromEnvironment(&http.Request{URL: u})
	if proxy == nil {
		return err
	}
	return fmt.Errorf("through the proxy %s: %w", proxy.Redacted(), err)
}
