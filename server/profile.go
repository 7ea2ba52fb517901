//go:build pprof && unix

package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// Built with -tags pprof, the server writes a CPU profile of the time between SIGUSR1
// and SIGUSR2 to the file that the variable CPUPROFILE names, once it is complete.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		name := os.Getenv("CPUPROFILE")
		var file *os.File
		for s := range signals {
			var err error
			if s == syscall.SIGUSR2 {
				pprof.StopCPUProfile()
				file.Close()
				err = os.Rename(file.Name(), name)
			} else if file, err = os.Create(name + ".new"); err == nil {
				err = pprof.StartCPUProfile(file)
			}
			if err != nil {
				panic(err)
			}
		}
	}()
}
