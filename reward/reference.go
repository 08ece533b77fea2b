package reward

import "flowgrpo/task"

// References returns the picture that a prompt's is to be like, or an error if the
// prompt has none. Safe for concurrent use; the picture is read only.
type References = func(task.Prompt) (task.Image, error)

// lookUp returns the reference picture of p.
func lookUp(references References, p task.Prompt) (task.Image, error) {
	ref, err := references(p)
	if err != nil {
		return ref, fail(BadPrompt, "%w", err)
	}
	if err := CheckImage(ref); err != nil {
		return ref, fail(BadPrompt, "reference picture: %w", err.(*Failure).Err)
	}
	return ref, nil
}

// referenceOf returns the reference picture of s, which has the size of its own.
func referenceOf(references References, s Sample) (task.Image, error) {
	ref, err := lookUp(references, s.Prompt)
	if err != nil {
		return ref, err
	}
	if im := s.Image; ref.C != im.C || ref.H != im.H || ref.W != im.W {
		return ref, fail(BadPrompt, "the reference picture is %d×%d×%d, the picture %d×%d×%d", ref.C, ref.H, ref.W, im.C, im.H, im.W)
	}
	return ref, nil
}

const nilReferences = "reward: nil references"
