// Package forwarding forwards requests to the server that owns the game that a request
// is for. A Forwarder sends them to the owner's internal listener, which serves only
// other servers and whose handler is a Receiver.
//
// A request is forwarded once. It carries the address of the client, so that the
// owner's limits and log apply to the client and not to the server that forwards.
package forwarding

import (
	"context"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// The headers between two servers. Those of a client are ignored.
const (
	secretHeader = "Counting-Secret"
	clientHeader = "Counting-Client"
	// refusedHeader is set in the response to a request that was not served, since its
	// receiver does not own the game.
	refusedHeader = "Counting-Not-Owner"
)

type forwarded struct{}

// IsForwarded reports whether the request came from another server: it must not
// be forwarded again.
func IsForwarded(r *http.Request) bool { return r.Context().Value(forwarded{}) != nil }

// Receiver returns the handler of the internal listener. A request without the secret is
// answered 403, and one for which admit, if it is not nil, returns false is answered 429; it
// is called with the address of the client. Their connections are closed. Other requests are
// passed to next with the client's address and port 0 as RemoteAddr, and IsForwarded reports
// true for them.
func Receiver(secret string, admit func(*http.Request, netip.Addr) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, client := r.Header.Get(secretHeader), r.Header.Get(clientHeader)
		removeHeaders(r)
		if secret == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(secret)) != 1 {
			w.Header().Set(refusedHeader, "1") // the secret may be that of an earlier server at this address
			reject(w, r, http.StatusForbidden, "only servers of the same games are served here; clients use the public address")
			return
		}
		if addr, err := netip.ParseAddr(client); err == nil {
			if admit != nil && !admit(r, addr) {
				reject(w, r, http.StatusTooManyRequests, "too many requests from "+client+" are being forwarded")
				return
			}
			r.RemoteAddr = net.JoinHostPort(addr.String(), "0")
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), forwarded{}, true)))
	})
}

// reject answers a request, and closes its connection. It reads a body for at most
// rejectTimeout and up to maxRejected bytes: if a connection with unread data is closed, it
// is reset, and the answer may be lost.
func reject(w http.ResponseWriter, r *http.Request, status int, message string) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(rejectTimeout))
	w.Header().Set("Connection", "close")
	http.Error(w, message, status)
	control.Flush()
	io.CopyN(io.Discard, r.Body, maxRejected)
	r.Body = http.NoBody // net/http keeps the connection for another 0.5 s if a large one is not read
}

const (
	rejectTimeout = 100 * time.Millisecond
	maxRejected   = 1 << 20
)

// Public returns the handler of the public listener: it removes the headers that
// only servers send to each other.
func Public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		removeHeaders(r)
		next.ServeHTTP(w, r)
	})
}

func removeHeaders(r *http.Request) {
	r.Header.Del(secretHeader)
	r.Header.Del(clientHeader)
}

// Refuse answers a forwarded request whose game this server does not own. The
// server that forwarded it may try the new owner.
func Refuse(w http.ResponseWriter, message string) {
	w.Header().Set(refusedHeader, "1")
	w.Header().Set("Retry-After", "1")
	http.Error(w, message, http.StatusServiceUnavailable)
}
