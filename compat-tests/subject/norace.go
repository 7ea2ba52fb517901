//go:build !race

package subject

// raceFlag is for tests without the race detector, which needs a C compiler.
const raceFlag = "-race=false"
