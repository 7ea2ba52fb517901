//go:build race

package subject

// raceFlag builds programs with the race detector, as the tests are.
const raceFlag = "-race"
