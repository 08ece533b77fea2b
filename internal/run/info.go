package run

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"flowgrpo/eval"
	"flowgrpo/internal/gpu"
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

// GPUs says which GPUs the program can use. The error is what is missing to use one.
func GPUs() (string, error) {
	infos, err := gpu.Devices()
	if err != nil {
		return "", err
	}
	return describeGPUs(infos), nil
}

// describeGPUs says which GPUs infos are.
func describeGPUs(infos []gpu.Info) string {
	var each []string
	for _, i := range infos {
		each = append(each, fmt.Sprintf("%d: %s, %.1f GiB, compute capability %d.%d", i.Index, i.Name, float64(i.Memory)/(1<<30), i.Major, i.Minor))
	}
	driver := infos[0].Driver
	return fmt.Sprintf("%s; driver for CUDA %d.%d", strings.Join(each, "; "), driver/1000, driver%1000/10)
}

// baseKey is where run.json has the digest of the base model.
const baseKey = "base sha256"

func newInfo(s *Session, o Options) eval.RunInfo {
	version, revision := Version()
	env := Environment()
	env["workers"] = fmt.Sprint(s.workers)
	if used := s.devices.describe(); used != "" {
		env["devices"] = used
	}
	env[baseKey] = s.baseDigest
	return eval.RunInfo{
		Task: s.Problem.Name, Version: version, Revision: revision, Seed: s.Config.Seed,
		Iterations: s.Config.Train.Iterations, Command: o.Command, Started: time.Now().UTC().Truncate(time.Second), Environment: env,
		Average: s.average, Limits: limits(s.Config.Monitor), Weights: s.rewards.weights(),
	}
}
