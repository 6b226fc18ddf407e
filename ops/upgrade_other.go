//go:build !unix

package ops

import (
	"context"
	"errors"
	"os"
)

// Elsewhere no listener leaves a process.
var upgradeSignal os.Signal

type predecessor struct{}

func fromBefore() (*predecessor, []handed, [][]key, error) { return nil, nil, nil, nil }

func (*predecessor) ready(context.Context)  {}
func (*predecessor) serves(context.Context) {}

func (p *Process) succeed(context.Context) error { return errors.ErrUnsupported }
