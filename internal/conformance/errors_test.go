package conformance

import (
	"errors"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v\n  is not %v", err, want)
	}
}

func wantIsNot(t *testing.T, err, unwanted error) {
	t.Helper()
	if errors.Is(err, unwanted) {
		t.Errorf("error %v\n  is %v", err, unwanted)
	}
}

func wantText(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v\n  does not say %q", err, text)
	}
}

// wantFailed asserts the outcome of a run that failed at a migration's Up.
func wantFailed(t *testing.T, err error, version int64) *gooseplus.MigrationError {
	t.Helper()
	return wantFailedStep(t, err, version, "up")
}

// failedStep is the step that a run failed at, nil if none is said.
func failedStep(err error) (failed *gooseplus.MigrationError) {
	errors.As(err, &failed)
	return failed
}

// wantFailedStep asserts the outcome of a run that failed at a step: that it is back at its start,
// and that the error has what a person needs.
func wantFailedStep(t *testing.T, err error, version int64, direction string) *gooseplus.MigrationError {
	t.Helper()
	wantIs(t, err, gooseplus.ErrRollForward)
	wantIsNot(t, err, gooseplus.ErrRollBack)
	failed := failedStep(err)
	if failed == nil {
		t.Fatalf("error %v has no MigrationError", err)
	}
	if failed.Version != version || failed.Direction != direction {
		t.Errorf("the error is about %d %s, want %d %s", failed.Version, failed.Direction, version, direction)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the message has more than one line:\n%v", err)
	}
	return failed
}

// wantStuck asserts the outcome of a run whose way back ended early.
func wantStuck(t *testing.T, err error, start, reached int64) *gooseplus.RollbackError {
	t.Helper()
	wantIs(t, err, gooseplus.ErrRollBack)
	wantIsNot(t, err, gooseplus.ErrRollForward)
	var stuck *gooseplus.RollbackError
	if !errors.As(err, &stuck) {
		t.Fatalf("error %v has no RollbackError", err)
	}
	if stuck.Start != start || stuck.Reached != reached {
		t.Errorf("the error says from %d, reached %d; want from %d, reached %d", stuck.Start, stuck.Reached, start, reached)
	}
	return stuck
}
