package main

import "counting/compat-tests/siotape/tape"

func readHAR(name string) (*tape.Recording, error) { return tape.ReadHARFile(name) }
