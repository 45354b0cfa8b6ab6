//go:build !linux

package main

import "errors"

func readUsage(int) (usage, error) {
	return usage{}, errors.New("--server-pid and --nats-pid need Linux's /proc")
}

// fileLimit has nothing to do where Go has raised the limit itself, or where there is none.
func fileLimit(int) error { return nil }
