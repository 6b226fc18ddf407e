// Package ops does what the main function of a server has to do beside serving: it handles signals, drains
// with a deadline, takes sockets from systemd and reports to it, upgrades the program in place, tells load
// balancers whether it is ready, and runs the program as a Windows service.
//
//	srv := &proactor.Server{Addr: ":5001", Handler: handler}
//	if err := ops.Run(srv, ops.Options{}); err != nil {
//		log.Fatal(err)
//	}
//
// A program with several servers, or with listeners of package net beside them, makes a [Process]: it calls
// [Start], then [Process.Add] or [Process.Listen] for each, then [Process.Run].
//
// # How it ends
//
// At SIGINT or SIGTERM, or when [Options].Context is done, [Process.Ready] says so first, and
// after Options.Delay, when load balancers have seen it, the servers shut down
// ([proactor.Server.Shutdown]). Connections that are left after Options.Drain are reset. Run returns
// nil: the exit status is 0. A second signal ends the process at once, with status 1.
//
// # systemd
//
// Listeners that systemd has made (LISTEN_FDS, sd_listen_fds(3)) are given to servers by their
// names, FileDescriptorName= of the socket unit. The manager is told READY, RELOADING, STOPPING,
// STATUS, and WATCHDOG as often as it asks while the loops answer (sd_notify(3)). The unit is
// Type=notify; NotifyAccess=main, its default, suffices.
//
// # Upgrades in place
//
// SIGUSR2 starts the program anew, from the path that it was started by, with the same arguments:
// another file may be there by now, or another at the end of a symbolic link. The new process gets
// every listener, with ReusePort all of each server, and the keys of session tickets. It makes its
// servers, which are paused, and says that it is ready. The old process tells it to go on and, when the new one
// says that it serves, stops listening and drains. So there is no moment at which nobody listens, nothing in a
// backlog is reset, and no connection is in the new process before that has come up.
//
// If the new process ends, is killed or is not ready in time (Options.Upgrade), it is killed, and the
// old one goes on as before. One upgrade runs at a time; a process that drains begins none.
// A signal to end that comes meanwhile ends the upgrade. systemd learns of the new main process
// by MAINPID=, from the old one, before that drains.
//
// What the processes say to each other goes over a socket pair, descriptor 3 of the new one, which
// the variable PROACTOR_UPGRADE names; the listeners are those after it. Start takes them out of the
// environment, and has them closed on exec. On Windows listeners are not handed over:
// there a load balancer before two processes sees to it that nobody is refused (Options.Delay).
//
// # Windows services
//
// A process that the service control manager has started is a service as soon as it calls
// [Interrupted], as [Run] and [Start] do where Options.Context is nil. That must be within 30 s. It is starting
// until [Process.Run] serves, or the program calls [Serving]. A stop drains it; one that ends without that has failed, with
// exit code 1. [ServiceLog] has the log go to the event log. InstallService, StartService, StopService and UninstallService, on Windows alone,
// are what an administrator needs.
package ops
