//go:build !windows

package ops

import "log/slog"

// Elsewhere a service manager stops a process by a signal, and what it writes to stderr is logged.
func stops() <-chan error { return nil }

func stopped(uint32) {}

// Serving tells Windows that this process, a service, has started. Elsewhere it does nothing.
func Serving() {}

// Service is the name of the Windows service that this process is.
func Service() (name string, is bool) { return "", false }

// ServiceLog is where the log of a program goes that may run as a Windows service: to the event log
// there, to h everywhere else.
func ServiceLog(h slog.Handler) slog.Handler { return h }
