//go:build !linux

package port

import "time"

const hears = false

// failed: this system does not tell.
func failed(*sock, bool) error { return nil }

// silence: this system does not tell.
func silence(int) (time.Duration, int) { return 0, 0 }

// acked is 0: this system does not tell.
func acked(int) int64 { return 0 }
