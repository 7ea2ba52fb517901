package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A subject is one of the servers that are compared.
type subject struct {
	name, head string
	command    func(port, data string) []string
	env        []string
	counts     bool // whether it assigns seats and writes numbers.txt
}

// The subjects, as -only names them.
const (
	goServer  = "go"
	node      = "node"
	packages  = "packages"
	bare      = "bare"
	flask     = "flask"
	threading = "threading"
)

// subjects are the servers, in the table's order. The Go programs lie in bin.
func subjects(bin, python string) []subject {
	original := []string{python, filepath.Join("compat-tests", "original", "server.py")}
	stack := func(string, string) []string { return original }
	return []subject{
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
		return "", fmt.Errorf("no Node.js with the official server (%w): run compat-tests/setup, or leave it out with -only", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// A server is a subject that runs, a process of its own on an address of its
// own.
type server struct {
	subject
	addr, data string
	began      time.Time
	cmd        *exec.Cmd
	log        *os.File
	done       chan error
}

// launch starts the subject on the data directory, and does not wait for it.
func (s subject) launch(port, data string, args ...string) (*server, error) {
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	line := append(s.command(port, data), args...)
	r := &server{subject: s, addr: "127.0.0.1:" + port, data: data, log: log, done: make(chan error, 1)}
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

// start starts the subject and waits until it is healthy.
func (b *bench) start(name string, args ...string) (*server, error) {
	data, err := os.MkdirTemp(b.dir, name)
	if err != nil {
		return nil, err
	}
	s, err := b.subject(name).launch(freePort(), data, args...)
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

// freePort returns a port below those that connections are given as their own,
// so that it stays free for the next server.
func freePort() string {
	for {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
}

// await returns how long it took from the start until the path answers 200.
func (s *server) await(path string) (time.Duration, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for time.Since(s.began) < patience {
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

// cpu is the time that the process has spent computing, in its own code and in
// the kernel.
func (s *server) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold blanks. 14 and 15 are user and system,
	// in ticks, of which Linux tells 100 a second everywhere.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// memory is what the process has in memory (RSS), in bytes.
func (s *server) memory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kilobytes) * 1024, err
}

// end stops the server and checks what it has written: the Go server an
// unbroken count of at least that many lines, the others each of them, in
// whatever order.
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
