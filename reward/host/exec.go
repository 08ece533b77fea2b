package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"flowgrpo/reward"
	"flowgrpo/reward/wire"
)

var execDoc = reward.KindDoc{
	Kind:    "exec",
	Summary: "A program in any language that the run starts and owns; see docs/rewards.md.",
	Params: append([]reward.ParamDoc{
		{Key: "command", Default: "", Summary: `the program and its arguments, such as ["python3", "reward.py"]`},
		{Key: "dir", Default: "a private one", Summary: "working folder"},
		{Key: "env", Default: "[]", Summary: "names of variables of the environment that the program is to see, too"},
		{Key: "max_memory", Default: "no limit", Summary: `private memory of each of its processes, such as "4GiB" (Linux)`},
		{Key: "sha256", Default: "{}", Summary: "a table from files of the command to what their SHA-256 must be"},
	}, settingDocs...),
}

// execSettings are the keys of kind exec.
type execSettings struct {
	command   []string // files as absolute paths
	path      string   // of the program
	dir       string   // empty: a private one
	env       []string // names
	maxMemory int64    // bytes; 0: no limit
	sums      map[string]string
}

func newExec(name string, p *reward.Params, deps reward.Deps) (reward.Reward, error) {
	common, err := readSettings(name, p)
	if err != nil {
		return nil, err
	}
	e, err := readExec(name, p)
	if err != nil {
		return nil, err
	}
	return open(common, deps, restarts, func(ctx context.Context) (*conn, error) { return e.start(ctx, &common) })
}

func readExec(name string, p *reward.Params) (*execSettings, error) {
	e := &execSettings{
		command:   slices.Clone(p.Strings("command")),
		dir:       p.String("dir", ""),
		env:       p.Strings("env"),
		maxMemory: p.Size("max_memory", 0),
	}
	sums := p.Table("sha256")
	if err := p.Err(); err != nil {
		return nil, err
	}
	if len(e.command) == 0 || e.command[0] == "" {
		return nil, errors.New(`command is missing; it is a list such as ["python3", "reward.py"]`)
	}
	for _, v := range e.env {
		if v == "" || strings.ContainsAny(v, "=\x00") || strings.HasPrefix(v, "FLOWGRPO_REWARD_") {
			return nil, fmt.Errorf("env holds names of variables, found %q", v)
		}
	}
	if err := e.readSums(sums); err != nil {
		return nil, err
	}
	if err := e.resolve(); err != nil {
		return nil, &StartError{name, err}
	}
	return e, nil
}

// readSums keeps the pinned digests by the absolute path of their files.
func (e *execSettings) readSums(table map[string]any) error {
	e.sums = map[string]string{}
	for _, word := range slices.Sorted(maps.Keys(table)) {
		sum, ok := table[word].(string)
		if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
			return fmt.Errorf("sha256.%q is %v, want 64 hexadecimal digits", word, table[word])
		}
		if !slices.Contains(e.command, word) {
			return fmt.Errorf("sha256 names %q, which is not a word of the command %q", word, e.command)
		}
		path, err := find(word, word == e.command[0])
		if err != nil {
			return fmt.Errorf("sha256: %w", err)
		}
		e.sums[path] = strings.ToLower(sum)
	}
	return nil
}

// resolve makes the paths of the command absolute, because it runs in another folder.
func (e *execSettings) resolve() error {
	var err error
	if e.path, err = find(e.command[0], true); err != nil {
		return fmt.Errorf("command: %w", err)
	}
	for i, word := range e.command[1:] {
		if path, err := find(word, false); err == nil {
			e.command[i+1] = path
		}
	}
	if e.dir == "" {
		return nil
	}
	if e.dir, err = filepath.Abs(e.dir); err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	if info, err := os.Stat(e.dir); err != nil || !info.IsDir() {
		return fmt.Errorf("dir: %s is not a folder", e.dir)
	}
	return nil
}

// find returns the absolute path of the file or folder called word; a program without
// a separator in its name is looked for in PATH.
func find(word string, program bool) (string, error) {
	if program {
		path, err := exec.LookPath(word)
		if e := (*fs.PathError)(nil); errors.As(err, &e) {
			err = e.Err
		} else if e := (*exec.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w%s", word, err, programHint(word, err))
		}
		return filepath.Abs(path)
	}
	if word == "" || strings.HasPrefix(word, "-") {
		return "", fmt.Errorf("%q is not a file", word)
	}
	if _, err := os.Stat(word); err != nil {
		return "", err
	}
	return filepath.Abs(word)
}

// programHint says what to do about a program that cannot be started.
func programHint(word string, err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission) && filepath.Ext(word) == ".py":
		return fmt.Sprintf(`; make it executable (chmod +x), or write ["python3", %q]`, word)
	case errors.Is(err, fs.ErrPermission):
		return "; make it executable (chmod +x)"
	case errors.Is(err, exec.ErrNotFound) && isFile(word):
		return fmt.Sprintf("; for the one of this folder, write %q", "./"+word)
	case errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(word):
		return elsewhere()
	}
	return ""
}

// isFile says whether there is a file of that name.
func isFile(word string) bool {
	info, err := os.Stat(word)
	return err == nil && info.Mode().IsRegular()
}

// elsewhere says where relative paths are looked for.
func elsewhere() string {
	folder, err := os.Getwd()
	if err != nil {
		folder = "the folder that finetune was started in"
	}
	return fmt.Sprintf("; it was looked for in %s: start finetune where the recipe was written for, or write the whole path", folder)
}

// sourceFile is what the name of a program's source looks like.
var sourceFile = regexp.MustCompile(`^[^-].*\.[A-Za-z]+$`)

// missing returns an error that says which words of the command look like files and are none,
// nil if there is no such word: they may be the reason why the program fails.
func (e *execSettings) missing() error {
	for _, word := range e.command[1:] {
		if sourceFile.MatchString(word) && !filepath.IsAbs(word) {
			return fmt.Errorf("there is no file %s%s", word, elsewhere())
		}
	}
	return nil
}

// start starts the program and waits until it is ready.
func (e *execSettings) start(ctx context.Context, s *settings) (*conn, error) {
	if err := e.checkSums(); err != nil {
		return nil, err
	}
	token := newToken()
	proc, err := launch(e, token)
	if err != nil {
		return nil, err
	}
	c, err := e.meet(ctx, s, proc, token)
	if err != nil {
		if end := proc.end(); end != "" {
			err = fmt.Errorf("%w; it %s", err, end)
		}
		if missing := e.missing(); missing != nil {
			err = fmt.Errorf("%w; %w", err, missing)
		}
		err = proc.withLastWords(err)
		proc.stop()
		return nil, err
	}
	return c, nil
}

// meet waits for the handshake, and until the program is loaded.
func (e *execSettings) meet(ctx context.Context, s *settings, proc *process, token string) (*conn, error) {
	var g greeting
	select {
	case g = <-proc.greeting:
	case <-time.After(s.startTimeout):
		return nil, fmt.Errorf("no handshake line on standard output within %v (start_timeout); what takes long belongs into loading, after it", s.startTimeout)
	case <-ctx.Done():
		return nil, errClosed
	}
	if g.err != nil {
		return nil, g.err
	}
	encoding := g.Encoding
	if encoding == "" {
		encoding = "json"
	}
	codec, err := wire.NewCodec(encoding)
	if err != nil {
		return nil, err
	}
	base, unix := "http://"+g.Address, ""
	if path, ok := strings.CutPrefix(g.Address, "unix:"); ok {
		base, unix = "http://localhost", path
	}
	c := &conn{client: newClient(base, unix, token, codec, s.maxReply), proc: proc}
	if err := c.load(ctx, s); err != nil {
		c.client.close()
		return nil, err
	}
	return c, nil
}

func (e *execSettings) checkSums() error {
	for _, path := range slices.Sorted(maps.Keys(e.sums)) {
		got, err := sumOf(path)
		if err != nil {
			return err
		}
		if got != e.sums[path] {
			return fmt.Errorf("the SHA-256 of %s is %s, and the recipe pins %s; refusing to start it", path, got, e.sums[path])
		}
	}
	return nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// newToken returns a secret of 128 bits or more.
func newToken() string { return rand.Text() }

// passed are the variables that every program sees.
var passed = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ"}

// environment returns the variables of a program: those of passed and names that are
// set here, the private folder as TMPDIR, and the token.
func environment(names []string, folder, token string) []string {
	names = append(slices.Clone(passed), names...)
	if runtime.GOOS == "windows" {
		names = append(names, "SYSTEMROOT")
	}
	var out []string
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+value)
		}
	}
	return append(out, "TMPDIR="+folder, "FLOWGRPO_REWARD_TOKEN="+token)
}
