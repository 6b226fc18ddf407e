//go:build !linux

package port

// acked is 0: nobody tells.
func acked(int) int64 { return 0 }
