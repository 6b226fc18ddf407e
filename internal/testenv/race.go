//go:build race

package testenv

const Race = true
