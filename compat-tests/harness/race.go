//go:build race

package harness

// raceFlag builds programs with the race detector, as the tests are.
const raceFlag = "-race"
