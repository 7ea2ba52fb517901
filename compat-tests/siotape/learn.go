package main

import (
	"context"
	"io"
)

func learn(context.Context, []string, io.Writer, io.Writer) (int, error) { return 0, errUsage }
