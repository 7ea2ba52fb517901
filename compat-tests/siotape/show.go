package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/tape"
)

const aboutShow = `Prints a recording, one line for each packet or request, or converts it. It reads
recordings, also unfinished ones, and HAR files.

  siotape show chat.jsonl
  siotape show -har chat.jsonl > chat.har     for a browser's developer tools
  siotape show -jsonl session.har > chat.jsonl   from a file that a browser saved

Exit codes: 0 success; 2 it could not be read; 3 success, but the recording has
something that was not understood, or no end.
`

func show(_ context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := newFlags("show", "[flags] RECORDING", aboutShow, stderr)
	asHAR := flags.Bool("har", false, "print it as HAR, with _webSocketMessages")
	asTape := flags.Bool("jsonl", false, "print it as a recording")
	whole := flags.Bool("whole", false, "print long packets and bodies in full")
	if err := flags.Parse(args); err != nil {
		return exitFailed, usageError(err)
	}
	if flags.NArg() != 1 || *asHAR && *asTape {
		flags.Usage()
		return exitFailed, errUsage
	}
	r, err := readRecording(flags.Arg(0), "")
	if err != nil {
		return exitFailed, err
	}
	code := exitSame
	if r.End == nil || r.Count().NotUnderstood > 0 {
		code = exitInPart
	}
	switch {
	case *asHAR:
		return code, tape.WriteHAR(stdout, r)
	case *asTape:
		return code, r.Write(stdout)
	}
	return code, print(stdout, r, *whole)
}

// readRecording reads a recording, or a HAR file as one.
func readRecording(name, mode string) (*tape.Recording, error) {
	if strings.HasSuffix(name, ".har") {
		return tape.ReadHARFile(name)
	}
	return replay.ReadExpected(name, mode)
}

func print(to io.Writer, r *tape.Recording, whole bool) error {
	head := r.Name
	for _, more := range []string{r.About, r.Server, r.Target, r.Recorded} {
		if more != "" {
			head += ", " + more
		}
	}
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(to, format, args...)
		errs = append(errs, err)
	}
	say("%s\n", head)
	for _, l := range r.Lines {
		say("%s\n", printed(l, whole))
	}
	if r.End == nil {
		say("The recording has no end: its recorder was killed.\n")
		return errors.Join(errs...)
	}
	if r.End.State != nil {
		for _, line := range *r.End.State {
			say("state: %s\n", line)
		}
	}
	say("%s\n", r.Count())
	return errors.Join(errs...)
}

func printed(l tape.Line, whole bool) string {
	text := l.String()
	arrow := map[string]string{tape.Client: "→", tape.Server: "←"}[l.From]
	who := l.Session
	switch {
	case l.HTTP != nil:
		who, arrow = "http", "→"
		text = fmt.Sprintf("%s %s", l.HTTP.Method, l.HTTP.URL)
		if l.HTTP.Body != "" {
			text += fmt.Sprintf(" %q", l.HTTP.Body)
		}
		text += " ← " + l.HTTP.String()
	case l.NotUnderstood != "":
		who = "?"
	case l.Open:
		text += " " + l.URL
	}
	const most = 200
	if !whole && len(text) > most {
		text = fmt.Sprintf("%s … %d bytes", strings.ToValidUTF8(text[:most], ""), len(text)-most)
	}
	return fmt.Sprintf("%9.3f  %-4s %-1s %-9s %s", l.At, who, arrow, l.Over, text)
}
