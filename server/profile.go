//go:build pprof && unix

package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// Built with -tags pprof, the server writes a CPU profile of what it does
// between SIGUSR1 and SIGUSR2 to the file that CPUPROFILE names.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR2 {
				pprof.StopCPUProfile()
				continue
			}
			file, err := os.Create(os.Getenv("CPUPROFILE"))
			if err == nil {
				err = pprof.StartCPUProfile(file)
			}
			if err != nil {
				panic(err)
			}
		}
	}()
}
