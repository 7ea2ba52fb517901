//go:build !unix

package main

// maxFiles returns how many files the process may open, or 0 if that is unknown.
func maxFiles() int { return 0 }
