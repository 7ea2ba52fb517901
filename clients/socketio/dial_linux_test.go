package socketio

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// fullListener returns the port of a listener with a full backlog: a SYN to it is
// dropped, like one to a pod that has ended.
func fullListener(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)) // and its queue is full
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return port
}

func TestAnAddressThatDoesNotAnswerIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	u, err := ParseURL(fmt.Sprintf("http://127.0.0.1:%d", fullListener(t)))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = Dial(t.Context(), u, Options{})
	var timeout net.Error
	if took := time.Since(began); !errors.As(err, &timeout) || !timeout.Timeout() || took >= handshakeTimeout {
		t.Errorf("after %v: %v", took, err)
	}
}
