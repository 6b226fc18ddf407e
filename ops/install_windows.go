package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// DefaultAccount is that of a service for which [InstallService] is given none. It has the rights of any user of the
// machine, and no name on the network: it may listen at any port, can read the program and its files only where
// ordinary users can (not below a home directory), and writes next to nothing but the event log.
const DefaultAccount = `NT AUTHORITY\LocalService`

// InstallService makes this program a service that Windows starts with these arguments, when the
// system starts and when it has failed. It registers the name as a source of the event log. That
// needs an administrator, as the functions below do. The account is one that has no password, such as
// LocalSystem, which may do everything, `NT AUTHORITY\NetworkService`, or `NT SERVICE\` and the name of the service, an
// account of its own; empty: [DefaultAccount].
func InstallService(name, account string, args ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("the service control manager: %w", err)
	}
	defer m.Disconnect()
	s, err := m.CreateService(name, exe, mgr.Config{
		StartType: mgr.StartAutomatic, DisplayName: name, ServiceStartName: cmp.Or(account, DefaultAccount),
	}, args...)
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	defer s.Close()
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 5 * time.Second}
	err = s.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, uint32(24*time.Hour/time.Second))
	if err == nil {
		err = s.SetRecoveryActionsOnNonCrashFailures(true)
	}
	if errors.Is(err, windows.ERROR_INVALID_LEVEL) { // Wine 8 knows no such thing
		err = nil
	}
	if err == nil {
		err = eventlog.InstallAsEventCreate(name, eventlog.Error|eventlog.Warning|eventlog.Info)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("service %s: %w", name, err), s.Delete())
	}
	return nil
}

// StartService has Windows start a service, and waits until it runs, or ctx is done.
func StartService(ctx context.Context, name string) error {
	return with(name, func(s *mgr.Service) error {
		if err := s.Start(); err != nil {
			return err
		}
		return until(ctx, s, svc.Running)
	})
}

// StopService has Windows stop a service, which drains, and waits until it has ended, or ctx is
// done. One that does not run is no error.
func StopService(ctx context.Context, name string) error {
	return with(name, func(s *mgr.Service) error {
		now, err := s.Query()
		if err != nil || now.State == svc.Stopped {
			return err
		}
		if _, err := s.Control(svc.Stop); err != nil && now.State != svc.StopPending {
			return err
		}
		return until(ctx, s, svc.Stopped)
	})
}

// UninstallService takes back what InstallService has done. A service that runs goes when it has ended.
func UninstallService(name string) error {
	return with(name, func(s *mgr.Service) error { return errors.Join(s.Delete(), eventlog.Remove(name)) })
}

// with opens a service.
func with(name string, do func(*mgr.Service) error) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("the service control manager: %w", err)
	}
	defer m.Disconnect()
	s, err := m.OpenService(name)
	if err == nil {
		defer s.Close()
		err = do(s)
	}
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	return nil
}

// until waits for a state. A service that stops on its way to another has failed.
func until(ctx context.Context, s *mgr.Service, want svc.State) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		switch now, err := s.Query(); {
		case err != nil:
			return err
		case now.State == want:
			return nil
		case now.State == svc.Stopped:
			return fmt.Errorf("it has ended, with exit code %d of Windows and %d of its own; the event log may say why", now.Win32ExitCode, now.ServiceSpecificExitCode)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
