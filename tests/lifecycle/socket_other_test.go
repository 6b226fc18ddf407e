//go:build !linux

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

const hasDescriptors = false

func giveUpAfter(*testing.T, *proactor.Conn, time.Duration) {}

func keepAlive(*testing.T, *proactor.Conn) time.Duration { return 0 }
