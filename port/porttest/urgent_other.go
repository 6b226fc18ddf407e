//go:build !unix && !windows

package porttest

import "errors"

func sendUrgent(uintptr, []byte) error { return errors.ErrUnsupported }
