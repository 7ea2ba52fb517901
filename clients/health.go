package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// maxSilence is how long the server may be silent. It is longer than Engine.IO's
// heartbeat, 25 s, which is all that an idle session over polling receives.
const maxSilence = 40 * time.Second

// health is an http.Handler that answers 200 if the client has heard from the server
// within maxSilence, and otherwise 503 with the reason.
type health struct {
	heard atomic.Pointer[time.Time] // nil: never
}

// hear records that the client has just heard from the server. It may be called
// concurrently.
func (h *health) hear() {
	now := time.Now()
	h.heard.Store(&now)
}

func (h *health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	heard := h.heard.Load()
	switch {
	case heard == nil:
		http.Error(w, "nothing heard from the server yet", http.StatusServiceUnavailable)
	case time.Since(*heard) > maxSilence:
		http.Error(w, fmt.Sprintf("nothing heard from the server for %v", time.Since(*heard).Round(time.Second)), http.StatusServiceUnavailable)
	default:
		io.WriteString(w, "OK\n")
	}
}

// serve answers on addr until ctx ends.
func (h *health) serve(ctx context.Context, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on -health %q: %w; choose another address, or none", addr, err)
	}
	const limit = 5 * time.Second
	server := &http.Server{Handler: h, ReadTimeout: limit, WriteTimeout: limit, IdleTimeout: limit, MaxHeaderBytes: 8 << 10}
	go server.Serve(l)
	context.AfterFunc(ctx, func() { server.Close() })
	return nil
}

// check asks the client whose health handler is at addr whether it has heard from the
// server within maxSilence.
func check(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return err
	}
	direct := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // not through a proxy
	response, err := direct.Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(response.Body, 200))
	return fmt.Errorf("not healthy: %.200q", why)
}
