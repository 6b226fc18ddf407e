package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionCommand prints what --version does.
type versionCommand struct{}

// Run is called by the parser.
func (versionCommand) Run(env *environment) error {
	_, err := fmt.Fprintln(env.stdout, version())
	return err
}

// version tells what was built, from what, with what, and for what system.
func version() string {
	v, from := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		if revision := set["vcs.revision"]; revision != "" {
			from = fmt.Sprintf(" from %.12s of %s", revision, set["vcs.time"])
			if set["vcs.modified"] == "true" {
				from += ", modified"
			}
		}
	}
	return fmt.Sprintf("proactor %s%s, %s, %s/%s, backends %s", v, from, runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.TrimPrefix(backends(), "auto,"))
}
