package reward

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"flowgrpo/internal/clip"
)

// modelParam is the key that every reward of a CLIP model has.
var modelParam = ParamDoc{"model", "", "folder of a CLIP model, as transformers writes it"}

// A sharedModel is a loaded model, which rewards that name one folder share.
type sharedModel struct {
	*clip.Model
	folder string
	users  int
}

var sharedModels = struct {
	sync.Mutex
	open map[string]*sharedModel // by absolute path
}{open: map[string]*sharedModel{}}

// openModel returns the model in a folder, which is read if no reward has it open.
func openModel(folder string) (*sharedModel, error) {
	if folder == "" {
		return nil, errors.New("model is missing: the folder of a CLIP model")
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", folder, err)
	}
	sharedModels.Lock()
	defer sharedModels.Unlock()
	m, ok := sharedModels.open[path]
	if !ok {
		model, err := clip.Load(os.DirFS(path))
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", folder, err)
		}
		m = &sharedModel{Model: model, folder: path}
		sharedModels.open[path] = m
	}
	m.users++
	return m, nil
}

// close gives the model back; the last user ends it.
func (m *sharedModel) close() {
	sharedModels.Lock()
	defer sharedModels.Unlock()
	if m.users--; m.users == 0 {
		delete(sharedModels.open, m.folder)
	}
}
