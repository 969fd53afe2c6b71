package fleet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus"
)

// key is how the ledger writes a version.
func key(namespace string, version int64) string {
	if namespace == "" {
		return strconv.FormatInt(version, 10)
	}
	return namespace + "/" + strconv.FormatInt(version, 10)
}

func unkey(key string) (namespace string, version int64) {
	if i := strings.LastIndexByte(key, '/'); i >= 0 {
		namespace, key = key[:i], key[i+1:]
	}
	version, _ = strconv.ParseInt(key, 10, 64)
	return namespace, version
}

var errNotBegun = errors.New("the ledger did not let the run begin")

// A watch follows the runs of one lane by their events. A run sends its events before it goes on, so that one which must not
// begin is cancelled before its first step. It is used by one goroutine at a time.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	begin  begin
	want   []string // the versions that the run has to undo; nil for a run up

	begun          bool
	added, removed map[string]bool
	version        int64
	refused        bool
	unlike         bool
}

// during follows one run.
func (w *watch) during(ctx context.Context, begin begin, want []string, run func(context.Context) error) attempt {
	*w = watch{begin: begin, want: want, added: make(map[string]bool), removed: make(map[string]bool), version: -1}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	defer w.cancel(nil)
	started := time.Now()
	err := run(w.ctx)
	a := attempt{
		version: w.version, added: slices.Sorted(maps.Keys(w.added)), removed: slices.Sorted(maps.Keys(w.removed)),
		refused: w.refused, unlike: w.unlike, err: err, took: time.Since(started),
	}
	*w = watch{}
	return a
}

func (w *watch) see(_ context.Context, event gooseplus.Event) {
	if w.begin == nil {
		return
	}
	switch e := event.(type) {
	case gooseplus.RunStarted:
		w.started(e)
	case gooseplus.MigrationFinished:
		if e.Err != nil {
			return
		}
		k := key(e.Step.Namespace, e.Step.Version)
		from, to := w.removed, w.added
		if e.Step.Direction == "down" {
			from, to = w.added, w.removed
		}
		if !from[k] {
			to[k] = true
		}
		delete(from, k)
	case gooseplus.RunFinished:
		w.version = max(w.version, e.To)
	}
}

func (w *watch) started(e gooseplus.RunStarted) {
	if w.refused || w.unlike {
		return
	}
	keys := make([]string, len(e.Steps))
	for i, s := range e.Steps {
		keys[i] = key(s.Namespace, s.Version)
	}
	if w.want != nil && !slices.Equal(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(w.want))) {
		w.unlike = true
	} else if !w.begin(w.ctx, keys, w.begun) {
		w.refused = true
	}
	w.begun = true
	if w.refused || w.unlike {
		w.cancel(errNotBegun)
	}
}
