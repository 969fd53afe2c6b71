package drive

import (
	"context"
	"errors"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// executeText executes a step with Texts. goose would send its statements one by one. The transaction begins as every other
// one of the run does: with the settings, the role, the search_path and the fence. In the same transaction it records the
// versions, and the run's hook what the state table has to know of them.
//
// For a text that stands for many versions give the step the highest of them as its Version, the others in Instead, and a
// Section with GooseTransaction, InTransaction and Transactional. If the result has an error and not MaybeRecorded, nothing
// of it is left, and the same versions can be tried in another way.
func (d *Driver) executeText(ctx context.Context, step Step) error {
	tx, err := d.session.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	var text strings.Builder
	for i, next := range step.Texts {
		// A definition sets nothing. A reset leaves its trace in pg_settings: the source of a setting is the session.
		if i > 0 && sqltext.Acts(step.Texts[i-1]) {
			text.WriteString(d.session.Again())
		}
		text.WriteString(next + "\n;\n")
	}
	d.trace.announce(text.String())
	if _, err = tx.ExecContext(ctx, text.String()); err == nil {
		err = d.recorder.Insert(ctx, tx, database.InsertRequest{Version: step.Version})
	}
	if err == nil {
		return tx.Commit()
	}
	if failed := failure.IgnoreDone(tx.Rollback()); failed != nil {
		return errors.Join(err, failed)
	}
	// This is how goose says that it has rolled back.
	return &goose.PartialError{Failed: &goose.MigrationResult{Source: &goose.Source{Version: step.Version}}, Err: err}
}
