package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/clients/socketio/socketiotest"
	"counting/compat-tests/freeport"
)

func TestHealthIsWhetherTheServerWasHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h health
		check := func(status int, text string) {
			t.Helper()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if got := w.Body.String(); w.Code != status || got != text+"\n" {
				t.Errorf("got %d %q, want %d %q", w.Code, got, status, text)
			}
		}
		check(503, "nothing heard from the server yet")
		h.hear()
		check(200, "OK")
		time.Sleep(maxSilence)
		check(200, "OK")
		time.Sleep(time.Second)
		check(503, "nothing heard from the server for 41s")
		h.hear()
		check(200, "OK")
	})
}

// Like a probe, one process checks the other.
func TestCheck(t *testing.T) {
	t.Parallel()
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		s.Wait()
	})
	addr := "127.0.0.1:" + freeport.New()
	check := func() (code int, text string) {
		out, err := client(t, []string{"HEALTH=" + addr}, "-check").CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return code, string(out)
	}
	if code, text := check(); code != 1 || !strings.Contains(text, "refused") {
		t.Errorf("without a client it is %d: %s", code, text)
	}
	run := client(t, []string{"HEALTH=" + addr, "SERVER_URL=http://" + server.Host})
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Process.Kill(); run.Wait() })
	for code, text := check(); code != 0; code, text = check() {
		if t.Context().Err() != nil {
			t.Fatalf("it is %d: %s", code, text)
		}
		time.Sleep(20 * time.Millisecond)
	}

	lost := client(t, []string{"HEALTH=" + addr, "SERVER_URL=http://" + "127.0.0.1:" + freeport.New()})
	if out, _ := lost.CombinedOutput(); lost.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), addr) {
		t.Errorf("a second client on the address exits with %d: %s", lost.ProcessState.ExitCode(), out)
	}
}

// check tells whether the handler that serve serves answers 200, and otherwise why not.
func TestServeIsChecked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	addr := "127.0.0.1:" + freeport.New()
	var h health
	if err := h.serve(ctx, addr); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		if err := check(t.Context(), addr); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("the check finds %v, want %q", err, want)
		}
	}
	expect(`not healthy: "nothing heard from the server yet`)
	h.hear()
	expect("")
	if err := new(health).serve(ctx, addr); err == nil || !strings.Contains(err.Error(), "choose another address, or none") {
		t.Errorf("a second one at the same address: %v", err)
	}
	cancel()
	for check(t.Context(), addr) == nil { // until the listener is closed
		runtime.Gosched()
	}
	expect("not healthy: ")
	addr = "no address"
	expect("invalid")
}
