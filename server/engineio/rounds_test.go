package engineio

import "os"

// testRounds returns how many rounds the long tests are to go, as ROUNDS has it.
func testRounds() string { return os.Getenv("ROUNDS") }
