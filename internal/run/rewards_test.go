package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// A spy is a reward for tests: contrast, with manners that its recipe chooses.
type spy struct {
	reward.Reward
	info  reward.Info
	fails string // how: "" never, "call", "always", "sample" for every second one, or "black"

	mu     sync.Mutex
	calls  []int // samples of each
	closed int
}

var (
	spiesMu sync.Mutex
	spies   = map[string]*spy{} // by name; tests give each its own
)

func init() {
	reward.Register(reward.KindDoc{Kind: "meeting"}, newMeeting)
	reward.Register(reward.KindDoc{Kind: "spy", Params: []reward.ParamDoc{
		{Key: "says"}, {Key: "max_batch"}, {Key: "fails"}, {Key: "refuses"},
	}}, newSpy)
}

func newSpy(name string, p *reward.Params, _ reward.Deps) (reward.Reward, error) {
	s := &spy{Reward: reward.NewContrast(name), fails: p.String("fails", "")}
	says := p.String("says", "")
	s.info = reward.Info{
		Deterministic: !strings.Contains(says, "moody"), Evaluation: strings.Contains(says, "evaluation"),
		Groupwise: strings.Contains(says, "groupwise"), MaxBatch: p.Int("max_batch", 0),
	}
	spiesMu.Lock()
	defer spiesMu.Unlock()
	spies[name] = s
	if text := p.String("refuses", ""); text != "" {
		return nil, errors.New(text)
	}
	return s, nil
}

func spyCalled(name string) *spy {
	spiesMu.Lock()
	defer spiesMu.Unlock()
	return spies[name]
}

func (s *spy) Info() reward.Info { return s.info }

func (s *spy) Close() error {
	s.closed++
	return nil
}

var errSpy = errors.New("the line is dead")

func (s *spy) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	s.mu.Lock()
	s.calls = append(s.calls, len(batch))
	s.mu.Unlock()
	if s.fails == "call" {
		return nil, errSpy
	}
	results, err := s.Reward.Score(ctx, batch)
	for i := range results {
		if s.fails == "always" || s.fails == "sample" && i%2 == 1 || s.fails == "black" && blank(batch[i].Image) {
			results[i] = reward.Result{Err: &reward.Failure{Reason: "no face", Err: errSpy}}
		}
	}
	return results, err
}

func blank(im task.Image) bool {
	return !slices.ContainsFunc(im.Pix, func(v float32) bool { return v != im.Pix[0] })
}

// samples returns how many samples the spy was asked about.
func (s *spy) samples() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		n += c
	}
	return n
}

// openSpied opens the recipe glyphs, made tiny, with the reward contrast as "text", few
// evaluations, and sets.
func openSpied(t *testing.T, sets ...string) (*Session, error) {
	t.Helper()
	all := append(append([]string{}, tiny...), "model.path="+tinyModel(t, "glyphs"), "reward.text.kind=contrast",
		"rollout.window_steps=[0,2]", "eval.every=0", "samples.every=0", "eval.final=false")
	return Open(load(t, "glyphs", append(all, sets...)...))
}

func mustOpenSpied(t *testing.T, sets ...string) *Session {
	t.Helper()
	s, err := openSpied(t, sets...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A reward for evaluations only, by the recipe or by its own word, is not asked in training
// and not part of the total; evaluations report it under its name.
func TestEvaluationOnlyRewards(t *testing.T) {
	for name, sets := range map[string][]string{
		"recipe":   {"reward.evalrecipe.kind=spy", "reward.evalrecipe.when=evaluation", "reward.evalrecipe.cache=0"},
		"own word": {"reward.evalown.kind=spy", "reward.evalown.says=evaluation", "reward.evalown.cache=0"},
	} {
		reward := strings.Split(sets[0], ".")[1]
		s := mustOpenSpied(t, append(sets, "eval.every=2")...)
		tr, err := s.trainer()
		if err != nil {
			t.Fatal(err)
		}
		tried := spyCalled(reward).samples()
		stats, err := tr.Iterate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := spyCalled(reward).samples(); n != tried || len(stats.Parts) == 0 {
			t.Errorf("%s: asked about %d samples in training", name, n-tried)
		}
		if _, ok := stats.Parts[reward]; ok {
			t.Errorf("%s: a part of the total", name)
		}
		dir := trainTiny(t, s)
		e := parse[eval.Evaluation](t, filepath.Join(dir, eval.EvaluationFile(2)))
		if v, ok := e.Modes[0].Score.Rewards[reward]; !ok || !v.Known() || v != e.Modes[0].Score.Rewards["text"] {
			t.Errorf("%s: evaluations report %v for it, and %v for the same reward in training", name, v, e.Modes[0].Score.Rewards["text"])
		}
		line, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
		if key := eval.EvalRewardKey(reward); err != nil || strings.Count(string(line), strconv.Quote(key)) != 2 {
			t.Errorf("%s: the base and the result have no %s in metrics.jsonl: %s %v", name, key, line, err)
		}
		card, err := os.ReadFile(filepath.Join(dir, "export", "README.md"))
		if err != nil || !strings.Contains(string(card), "\n| reward "+reward+" | ") || !strings.Contains(string(card), "\n| reward text | ") {
			t.Errorf("%s: the model card has no row of every reward: %s %v", name, card, err)
		}
	}
}

// What cannot work is found when a recipe is opened, as a setup error, and every reward that
// was opened is closed.
func TestOpenRewardsErrors(t *testing.T) {
	for name, c := range map[string]struct {
		sets []string
		want string
	}{
		"refuses":            {[]string{"reward.errspy.refuses=no weights"}, `reward "errspy": kind "spy": no weights; `},
		"weight":             {[]string{"reward.errspy.says=evaluation", "reward.errspy.weight=2"}, `reward "errspy" is for evaluations only, by its own word: weight = 2 has no effect; remove it`},
		"nothing to train":   {[]string{"reward.errspy.says=evaluation", "reward.text.weight=0"}, "no reward has a weight in training: there is nothing to train on"},
		"one for each":       {[]string{"reward.errspy.says=evaluation", "grpo.advantage=each"}, `grpo.advantage = "each" needs at least 2 rewards with a weight in training, found 1`},
		"large groups":       {[]string{"reward.errspy.says=groupwise", "reward.errspy.max_batch=2"}, `reward "errspy" judges whole groups of at most 2 samples; rollout.group_size is 3`},
		"large in evalution": {[]string{"reward.errspy.says=groupwise evaluation", "reward.errspy.max_batch=1"}, `samples_per_prompt is 2`},
		"dead":               {[]string{"reward.errspy.fails=call"}, errSpy.Error()},
		"fails always":       {[]string{"reward.errspy.fails=always"}, `this reward gives no scores: reward "errspy", sample 0 (prompt `},
	} {
		sets := append([]string{"reward.errspy.kind=spy", "reward.other.kind=spy"}, c.sets...)
		if name == "one for each" || name == "nothing to train" {
			sets = append(sets, "reward.other.weight=0")
		}
		_, err := openSpied(t, sets...)
		var setup *SetupError
		var useless *RewardError
		if tried := name == "dead" || name == "fails always"; errors.As(err, &useless) != tried {
			t.Errorf("%s: error %v of type *RewardError: %t, want %t", name, err, !tried, tried)
		}
		if !errors.As(err, &setup) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a SetupError: %s", name, err, c.want)
		}
		other, of := spyCalled("other").closed, spyCalled("errspy").closed
		if want := 1; other != want || of != want && name != "refuses" {
			t.Errorf("%s: closed %d and %d times, want once each", name, other, of)
		}
	}
}

// A reward that judges no black picture is of use, and without real pictures so is one that
// says of all in words of its own that there is nothing to judge.
func TestTrialPictures(t *testing.T) {
	mustOpenSpied(t, "reward.black.kind=spy", "reward.black.fails=black")
	failed := func(reason reward.Reason) []reward.Result {
		return []reward.Result{{Err: &reward.Failure{Reason: reason}}, {Err: &reward.Failure{Reason: reason}}}
	}
	of := &term{Reward: config.Reward{Weight: 1}}
	for _, c := range []struct {
		reason        reward.Reason
		real, useless bool
	}{{"no face", false, false}, {"no face", true, true}, {"exception", false, true}, {reward.BadScore, false, true}, {reward.BadPrompt, false, true}} {
		if err := of.useless(failed(c.reason), c.real); (err != nil) != c.useless {
			t.Errorf("%s, real pictures %t: error %v, want one: %t", c.reason, c.real, err, c.useless)
		}
	}
}

// A failure costs what on_failure says, and too many of them end the run.
func TestOnFailure(t *testing.T) {
	for name, c := range map[string]struct {
		sets []string
		want string // in the error; "" for none
	}{
		"drop-sample, few":  {[]string{"monitor.failed=0.4"}, ""},
		"drop-sample, many": {[]string{"monitor.failed=0.3"}, `iteration 3: 6 of the 18 samples of the latest 3 iterations could not be scored, more than monitor.failed = 0.3 allows; most often (6 times) reward "failspy": no face; the latest: `},
		"drop-group":        {[]string{"monitor.failed=0.4", "reward.failspy.on_failure=drop-group"}, ""},
		"stop":              {[]string{"reward.failspy.on_failure=stop"}, `reward "failspy", sample 1 (prompt `},
	} {
		s := mustOpenSpied(t, append([]string{"reward.failspy.kind=spy", "reward.failspy.fails=sample", "train.iterations=3"}, c.sets...)...)
		dir := filepath.Join(t.TempDir(), "run")
		_, err := Train(t.Context(), s, Options{Dir: dir})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
		if err != nil {
			var setup *SetupError
			if errors.As(err, &setup) || errors.Is(err, ErrStopped) {
				t.Errorf("%s: error of type %T: the run has failed", name, err)
			}
			continue
		}
		line := readLines(t, dir)[3]
		failed, zero := line[eval.KeyRewardFailed], line[eval.KeyZeroSignal]
		if group := name == "drop-group"; group != (failed == 6) || group != (zero == 1) {
			t.Errorf("%s: %v samples failed, %v of the groups are without signal", name, failed, zero)
		}
	}
}

// A memory of results changes no result. It finds the pictures of the grid, which the
// evaluation before it has drawn, and makes fewer calls.
func TestCacheChangesNothing(t *testing.T) {
	var files, calls []string
	for _, cache := range []string{"0", "1000"} {
		name := "cachespy" + cache
		s := mustOpenSpied(t, "reward."+name+".kind=spy", "reward."+name+".cache="+cache, "reward.text.weight=0.5",
			"eval.every=1", "samples.every=1")
		dir := trainTiny(t, s)
		files = append(files, strings.ReplaceAll(timeless(t, dir), name, "cachespy"))
		calls = append(calls, fmt.Sprint(spyCalled(name).samples()))
		for i, line := range readLines(t, dir) {
			share, ok := line[eval.RewardCachedKey(name)]
			if ok != (cache != "0") || ok && !(share > 0 && share < 1) {
				t.Errorf("cache = %s, line %d: the share found is %v, %t", cache, i, share, ok)
			}
			if seconds, ok := line[eval.RewardSecondsKey(name)]; !ok || !(seconds > 0) {
				t.Errorf("cache = %s, line %d: %v seconds in calls, %t", cache, i, seconds, ok)
			}
		}
	}
	if files[0] != files[1] || calls[0] == calls[1] {
		t.Errorf("with and without a cache, %s samples were asked about; metrics\n%s\nand\n%s", strings.Join(calls, " and "), files[0], files[1])
	}
}

// Answers that may change are asked for each time.
func TestMoodyRewardsAreNotCached(t *testing.T) {
	s := mustOpenSpied(t, "reward.moody.kind=spy", "reward.moody.says=moody", "reward.groups.kind=spy", "reward.groups.says=groupwise")
	for _, term := range s.rewards.terms {
		if name := term.plain.Name(); (term.cached != nil) != (name == "text") {
			t.Errorf("%s: results are kept: %t", name, term.cached != nil)
		}
	}
}

// Pictures can be drawn and exported without the rewards of a run, and evaluated with them.
func TestOnlyEvaluationsOpenRewards(t *testing.T) {
	dir := trainTiny(t, mustOpenSpied(t, "reward.drawspy.kind=spy", "train.iterations=1"))
	before := spyCalled("drawspy")
	target, err := OpenRun(dir, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Draw(t.Context(), []string{"x"}, 1, 2, 1, Silent{}); err != nil || spyCalled("drawspy") != before {
		t.Errorf("drawing opens rewards, or error %v", err)
	}
	target, err = EvaluateRun(dir, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Evaluate(t.Context(), Silent{}); err != nil || spyCalled("drawspy") == before {
		t.Errorf("evaluation does without rewards, or error %v", err)
	}
	if err := target.Close(); err != nil || spyCalled("drawspy").closed != 1 {
		t.Errorf("closed %d times, error %v", spyCalled("drawspy").closed, err)
	}
}

// meeting is what rewards of kind "meeting" wait for when they are made: each other.
var meeting sync.WaitGroup

func newMeeting(name string, _ *reward.Params, _ reward.Deps) (reward.Reward, error) {
	meeting.Done()
	all := make(chan struct{})
	go func() { meeting.Wait(); close(all) }()
	select {
	case <-all:
		return reward.NewContrast(name), nil
	case <-time.After(10 * time.Second):
		return nil, errors.New("the others are not being made")
	}
}

// All rewards are made at the same time, more than there are processors.
func TestRewardsAreOpenedTogether(t *testing.T) {
	c := config.Default()
	c.Reward = map[string]config.Reward{}
	for i := range runtime.GOMAXPROCS(0) + 1 {
		c.Reward[fmt.Sprint("r", i)] = config.Reward{Kind: "meeting", Weight: 1, Scale: 1, When: "always", OnFailure: "stop"}
	}
	meeting.Add(len(c.Reward))
	if _, err := openRewards(&c, reward.Deps{}); err != nil {
		t.Error(err)
	}
}

// A recipe's rewards are in the order of their names.
func TestRewardOrder(t *testing.T) {
	c := config.Default()
	c.Reward = map[string]config.Reward{}
	for _, name := range []string{"c", "a", "b"} {
		c.Reward[name] = config.Reward{Kind: "brightness", Weight: 1, Scale: 1, When: "always", OnFailure: "stop"}
	}
	rs, err := openRewards(&c, reward.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, t := range rs.total.Terms() {
		order += t.Reward.Name()
	}
	if order != "abc" {
		t.Errorf("the terms of the total are %s, want abc", order)
	}
}
