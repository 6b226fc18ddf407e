//go:build !linux

package limits_test

// descriptorLimit is what most systems allow without being asked.
func descriptorLimit() int { return 10_000 }
