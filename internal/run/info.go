package run

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"flowgrpo/eval"
	"flowgrpo/internal/kernel"
)

// Version returns the version of the program and the revision that it was built
// from, as far as the build knows.
func Version() (version, revision string) {
	version, revision = "devel", "unknown"
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	modified := ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	return version, revision + modified
}

// Environment describes the machine and the build.
func Environment() map[string]string {
	return map[string]string{
		"go": runtime.Version(), "os": runtime.GOOS + "/" + runtime.GOARCH,
		"cpu": fmt.Sprintf("%d × %s", runtime.NumCPU(), kernel.Current()),
	}
}

// baseKey is where run.json has the digest of the base model.
const baseKey = "base sha256"

func newInfo(s *Session, o Options) eval.RunInfo {
	version, revision := Version()
	env := Environment()
	env["workers"] = fmt.Sprint(s.workers)
	env[baseKey] = s.baseDigest
	return eval.RunInfo{
		Task: s.Problem.Name, Version: version, Revision: revision, Seed: s.Config.Seed,
		Iterations: s.Config.Train.Iterations, Command: o.Command, Started: time.Now().UTC().Truncate(time.Second), Environment: env,
		Average: s.average, Limits: limits(s.Config.Monitor),
	}
}
