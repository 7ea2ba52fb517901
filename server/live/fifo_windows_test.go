package live

// mkfifo does nothing: Windows has no such files.
func mkfifo(string) error { return nil }
