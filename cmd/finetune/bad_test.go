package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"flowgrpo/eval"
	"flowgrpo/policy"
	"flowgrpo/task"
)

var update = flag.Bool("update", false, "write what testdata/bad gets instead of comparing it")

// badPatience ends a program that hangs; a test machine can be busy.
const badPatience = 2 * time.Minute

// maxLines bounds the message about a bad input.
const maxLines = 10

// TestBadInputs gives the program what is wrong in one way each. A file of testdata/bad is an
// archive: what is wrong, a command and the exit code that it must have; the files that it
// finds, beside those of newBase; and all that it must say on standard error. It must not
// write anything, and need no more than maxLines lines and no trace of the stack.
//
// A file whose name ends in .gen is made by its lines: "text" * 3 is the text of Go three
// times, @FILE[2:-4] the bytes of another file from the second on without the last four.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("paths and the system's own words are those of Unix")
	}
	base := t.TempDir()
	newBase(t, base)
	cases, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(cases) < 40 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := readBadCase(t, archive)
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			c.write(t, dir)
			before := digests(t, dir)
			code, stderr := c.run(t, dir)
			if after := digests(t, dir); after != before {
				t.Errorf("files before:\n%safter:\n%s", before, after)
			}
			checkMessage(t, stderr)
			if *update {
				c.store(t, file, archive, code, stderr)
				return
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if stderr != c.stderr {
				t.Errorf("stderr\n%s\nwant\n%s", stderr, c.stderr)
			}
		})
	}
}

// newBase writes what every case finds: a model, a recipe for it, and a picture.
func newBase(t *testing.T, dir string) {
	t.Helper()
	text := policy.NewTextEncoder(6, 12, 8, policy.Vocabulary([]string{`a sign that says "OK"`}))
	text.Weights.Initialize(1)
	m := policy.NewModel(&policy.MMDiT{
		SampleSize: 8, PatchSize: 4, InChannels: 3, OutChannels: 3, NumLayers: 1, HeadDim: 8, Heads: 1,
		JointAttentionDim: 12, CaptionDim: 8, PooledDim: 8, PosEmbedMaxSize: 2, Height: 8, Width: 8, Tokens: 6,
	}, text, 1)
	if err := policy.Save(filepath.Join(dir, "model"), m, m.Theta(), policy.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	picture, err := eval.EncodePNG(task.NewImage(3, 8, 8).NRGBA())
	if err != nil {
		t.Fatal(err)
	}
	const recipe = "[model]\npath = \"model\"\n[task]\nworld = \"prompts\"\ntrain_prompts = \"prompts.txt\"\n[reward.brightness]\nkind = \"brightness\"\n"
	for name, data := range map[string][]byte{"picture.png": picture, "prompts.txt": []byte("a\nb\nc\nd\n"), "prompts.toml": []byte(recipe)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A badCase is a file of testdata/bad.
type badCase struct {
	about  string
	args   []string
	line   string // of args, as written
	code   int
	files  []txtar.File
	stderr string
}

func readBadCase(t *testing.T, a *txtar.Archive) badCase {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(a.Comment)), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines before the files, want what is wrong, the command and the exit code", len(lines))
	}
	c := badCase{about: lines[0], line: lines[1], args: words(t, lines[1])}
	if _, err := fmt.Sscanf(lines[2], "exit %d", &c.code); err != nil {
		t.Fatalf("%q: %v", lines[2], err)
	}
	for _, f := range a.Files {
		if f.Name == "stderr" {
			c.stderr = string(f.Data)
		} else {
			c.files = append(c.files, f)
		}
	}
	return c
}

// words cuts a line at its blanks; a word in quotes is as in Go.
func words(t *testing.T, line string) (out []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		word, rest, _ := strings.Cut(line, " ")
		if quoted, err := strconv.QuotedPrefix(line); err == nil {
			if word, err = strconv.Unquote(quoted); err != nil {
				t.Fatal(err)
			}
			rest = line[len(quoted):]
		}
		out, line = append(out, word), rest
	}
	return out
}

// write writes the files of the case to dir.
func (c badCase) write(t *testing.T, dir string) {
	t.Helper()
	for _, f := range c.files {
		name, made := strings.CutSuffix(f.Name, ".gen")
		path := filepath.Join(dir, filepath.FromSlash(name))
		data := f.Data
		if made {
			data = generate(t, dir, string(f.Data))
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// generate returns what the lines of a .gen file make.
func generate(t *testing.T, dir, script string) (out []byte) {
	t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "@"); ok {
			out = append(out, part(t, dir, name)...)
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		times := 1
		if rest := strings.TrimSpace(line[len(quoted):]); rest != "" {
			if _, err := fmt.Sscanf(rest, "* %d", &times); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		out = append(out, bytes.Repeat([]byte(text), times)...)
	}
	return out
}

// part returns the bytes that FILE or FILE[2:-4] means.
func part(t *testing.T, dir, name string) []byte {
	t.Helper()
	name, bounds, cut := strings.Cut(strings.TrimSuffix(name, "]"), "[")
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil || !cut {
		return data
	}
	from, to, _ := strings.Cut(bounds, ":")
	at := func(text string, def int) int {
		if text == "" {
			return def
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if n < 0 {
			n += len(data)
		}
		return n
	}
	return data[at(from, 0):at(to, len(data))]
}

// run returns the exit code and what was written to standard error.
func (c badCase) run(t *testing.T, dir string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), badPatience)
	defer cancel()
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	temp := t.TempDir()
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &b, append(os.Environ(), "TMPDIR="+temp, "HOME="+temp)
	clock := time.Now()
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil || ctx.Err() != nil || ok && !exit.Exited() {
		t.Fatalf("%v\n%s", err, b.Bytes())
	}
	t.Logf("%v, %s", time.Since(clock).Round(time.Millisecond), resources(cmd.ProcessState))
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v is left in the temporary folder, %v", left, err)
	}
	return cmd.ProcessState.ExitCode(), strings.ReplaceAll(b.String(), dir, "$DIR")
}

// checkMessage holds a message to what users can expect of each.
func checkMessage(t *testing.T, stderr string) {
	t.Helper()
	if !strings.HasPrefix(stderr, "finetune: ") || strings.Count(stderr, "\n") > maxLines || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("want 1 to %d lines that begin with finetune:\n%s", maxLines, stderr)
	}
	for _, bad := range []string{"panic", "goroutine ", ".go:", "\x1b", "%!"} {
		if strings.Contains(stderr, bad) {
			t.Errorf("the message has %q:\n%s", bad, stderr)
		}
	}
}

// digests lists all files below dir with their SHA-256.
func digests(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&b, path+"/")
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		sum := sha256.Sum256(data)
		fmt.Fprintln(&b, path, hex.EncodeToString(sum[:8]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// store writes what the case got to its file.
func (c badCase) store(t *testing.T, file string, a *txtar.Archive, code int, stderr string) {
	t.Helper()
	a.Comment = fmt.Appendf(nil, "%s\n%s\nexit %d\n", c.about, c.line, code)
	a.Files = append(c.files, txtar.File{Name: "stderr", Data: []byte(stderr)})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}
