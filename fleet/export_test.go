package fleet

import (
	"context"
	"database/sql"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// WithLease shortens all leases, so that a test of dead workers is a short one.
func WithLease(d time.Duration) Option {
	return optionFunc(func(o *options) {
		if d > 0 {
			o.times = times{lease: d, coordinator: d / 6, beat: d / 15}
		}
	})
}

// WithStub has workers do nothing, at once and successfully, in place of migrations.
func WithStub() Option {
	return optionFunc(func(o *options) { o.runner = stub{} })
}

type stub struct{}

func (stub) survey(context.Context, string, *sql.DB, []ledger.Claim) map[string]int64 { return nil }

func (stub) each(ctx context.Context, _ string, _ *sql.DB, claims []ledger.Claim, do func(context.Context, ledger.Claim, tenant)) error {
	for _, c := range claims {
		do(ctx, c, stub{})
	}
	return nil
}

func (stub) up(ctx context.Context, begin begin) attempt {
	if !begin(ctx, []string{"1"}, false) {
		return attempt{refused: true}
	}
	return attempt{version: 1, added: []string{"1"}}
}

func (stub) down(ctx context.Context, versions []string, begin begin) attempt {
	if !begin(ctx, versions, false) {
		return attempt{refused: true}
	}
	return attempt{removed: versions}
}

func (stub) applied(context.Context) (map[string]bool, error) { return nil, nil }
