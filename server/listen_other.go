//go:build !linux

package main

import "time"

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT.
func setUserTimeout(uintptr, time.Duration) error { return nil }
