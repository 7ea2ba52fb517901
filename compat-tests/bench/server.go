package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"counting/compat-tests/freeport"
)

// A candidate is one of the servers that are compared.
type candidate struct {
	name, head string
	command    func(port, data string) []string
	env        []string
	counts     bool // whether it assigns seats and writes numbers.txt
}

// The names of the candidates, for -only.
const (
	goServer  = "go"
	node      = "node"
	packages  = "packages"
	synced    = "synced" // packages that append a line and sync before each ack
	bare      = "bare"
	flask     = "flask"
	threading = "threading"
)

// candidates returns the servers, in the order of the table. bin has the Go programs.
func candidates(bin, python string) []candidate {
	original := []string{python, filepath.Join("compat-tests", "original", "server.py")}
	stack := func(string, string) []string { return original }
	return []candidate{
		{goServer, "Go", func(port, data string) []string {
			return []string{filepath.Join(bin, "server"), "-addr", "127.0.0.1:" + port, "-data", data,
				"-max-sessions", "0", "-max-sessions-per-address", "0", "-max-sessions-per-game", "0", "-max-connections", "0", "-max-connections-per-address", "0"}
		}, []string{"CPUPROFILE=" + filepath.Join(bin, profileName)}, true},
		{node, "Node", func(port, _ string) []string {
			return []string{"node", nodeServer, port}
		}, []string{"NODE_ENV=production"}, false},
		{packages, "bare packages", func(port, _ string) []string {
			return []string{filepath.Join(bin, "echo"), "127.0.0.1:" + port}
		}, nil, false},
		{synced, "bare packages, synced", func(port, data string) []string {
			return []string{filepath.Join(bin, "echo"), "127.0.0.1:" + port, filepath.Join(data, "lines")}
		}, nil, false},
		{bare, "bare library", func(port, _ string) []string {
			return []string{filepath.Join(bin, "bare"), "127.0.0.1:" + port}
		}, nil, false},
		{flask, "Flask, eventlet", stack, []string{"ASYNC_MODE=eventlet"}, true},
		{threading, "Flask, threading", stack, []string{"ASYNC_MODE=threading"}, true},
	}
}

var nodeServer = filepath.Join("compat-tests", "javascript", "server.js")

// nodeVersion returns the versions of Node.js and its Socket.IO server.
func nodeVersion() (string, error) {
	const ask = `const dir = "./compat-tests/javascript/node_modules/socket.io/package.json"; console.log("Node.js " + process.version + ", socket.io " + require(dir).version)`
	out, err := exec.Command("node", "-e", ask).Output()
	if err != nil {
		return "", fmt.Errorf("missing Node.js or the official server (%w): run compat-tests/setup, or exclude it with -only", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// A server is a running candidate.
type server struct {
	candidate
	addr, data string
	began      time.Time
	cmd        *exec.Cmd
	log        *os.File
	done       chan error
}

// launch starts the candidate on the data directory, and does not wait until it serves.
func (s candidate) launch(port, data string, args ...string) (*server, error) {
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	line := append(s.command(port, data), args...)
	r := &server{candidate: s, addr: "127.0.0.1:" + port, data: data, log: log, done: make(chan error, 1)}
	r.cmd = exec.Command(line[0], line[1:]...)
	r.cmd.Env = append(os.Environ(), append(s.env, "HOST=127.0.0.1", "PORT="+port, "DATA_DIR="+data)...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.began = time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { r.done <- r.cmd.Wait() }()
	return r, nil
}

// start starts the candidate and waits until it is healthy.
func (b *bench) start(name string, args ...string) (*server, error) {
	data, err := os.MkdirTemp(b.dir, name)
	if err != nil {
		return nil, err
	}
	s, err := b.candidate(name).launch(freeport.New(), data, args...)
	if err != nil {
		return nil, err
	}
	b.started = append(b.started, s)
	if _, err := s.await("/health"); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// await waits until the path answers 200, and returns the time since the start.
func (s *server) await(path string) (time.Duration, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout}
	for time.Since(s.began) < timeout {
		if response, err := client.Get("http://" + s.addr + path); err == nil {
			took := time.Since(s.began)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return took, nil
			}
		}
		select {
		case err := <-s.done:
			s.done <- err
			return 0, fmt.Errorf("%s ended: %w; see %s", s.head, err, s.log.Name())
		case <-time.After(time.Millisecond / 2):
		}
	}
	return 0, fmt.Errorf("%s does not answer %s; see %s", s.head, path, s.log.Name())
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	err := <-s.done
	s.done <- err
	s.log.Close()
}

// cpu returns the CPU time of the process, user and system.
func (s *server) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces. Fields 14 and 15 are user and system
	// time, in units of 1/100 s.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// memory returns the resident memory of the process in bytes.
func (s *server) memory() (float64, error) { return s.status("VmRSS:") }

// ownMemory is memory without the pages of the program's files.
func (s *server) ownMemory() (float64, error) { return s.status("RssAnon:") }

// status returns a size in the status of the process, in bytes.
func (s *server) status(field string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), field)
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kilobytes) * 1024, err
}

// end stops the server and checks its file: that of the Go server is an unbroken count of at
// least that many lines, those of the others have at least that many lines in any order.
func (s *server) end(lines int64) error {
	defer s.kill()
	if !s.counts {
		return nil
	}
	path := filepath.Join(s.data, "numbers.txt")
	if s.name == goServer {
		return verify(s.command("", "")[0], path, lines)
	}
	text, err := os.ReadFile(path)
	if got := int64(strings.Count(string(text), "\n")); err == nil && got < lines {
		err = fmt.Errorf("%s acked %d numbers and has written %d", s.head, lines, got)
	}
	return err
}

func verify(program, path string, lines int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-verify", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s", out)
	}
	var got int64
	_, after, _ := strings.Cut(string(out), "count of ")
	if _, err := fmt.Sscan(after, &got); err != nil || got < lines {
		return fmt.Errorf("%d numbers were acked, but: %s", lines, out)
	}
	return nil
}
