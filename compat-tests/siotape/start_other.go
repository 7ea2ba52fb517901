//go:build !unix

package main

import "os/exec"

func shell(command string) *exec.Cmd { return exec.Command("cmd", "/C", command) }

func terminate(cmd *exec.Cmd) { kill(cmd) }

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
