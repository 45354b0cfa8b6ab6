//go:build !unix

package main

import "errors"

// raiseFileLimit fails: lexiload reads other processes' use from /proc.
func raiseFileLimit() (int, error) { return 0, errors.New("measuring needs Linux") }
