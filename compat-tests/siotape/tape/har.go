package tape

import (
	"errors"
	"io"
)

// WriteHAR writes a recording as HAR.
func WriteHAR(io.Writer, *Recording) error { return errors.New("not yet") }

// ReadHARFile reads a HAR file as a recording.
func ReadHARFile(string) (*Recording, error) { return nil, errors.New("not yet") }
