//go:build !race

package harness

// raceFlag is for tests without the race detector, which needs a C compiler.
const raceFlag = "-race=false"
