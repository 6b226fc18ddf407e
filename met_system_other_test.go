//go:build !linux

package proactor_test

import (
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

const hasDescriptors = false

func giveUpAfter(*testing.T, *proactor.Conn, time.Duration) {}

func keepAlive(*testing.T, *proactor.Conn) time.Duration { return 0 }

// descriptorLimit is what most systems allow without being asked.
func descriptorLimit() int { return 10_000 }
