//go:build !linux

package main

import (
	"errors"
	"os"
)

func dataSync(file *os.File) error { return file.Sync() }

func evict(*os.File) error { return errors.ErrUnsupported }
