//go:build !windows

package main

// systemCommands are those that only one system has.
type systemCommands struct{}
