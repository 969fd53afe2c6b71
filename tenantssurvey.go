package gooseplus

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/watch"
)

// survey tells of tenants, from a look at many of them at once, what Plan and Version would.
type survey struct {
	found   func(watch.Found)
	pending map[string]int // guarded by the fleet's mu; by the applied versions: there are many tenants, and few plans
}

// unsettled stands for the number of pending migrations where the tenant has to be asked by itself.
const unsettled = -1

func newSurvey(ctx context.Context) *survey {
	found := watch.Survey(ctx)
	if found == nil {
		return nil
	}
	return &survey{found, make(map[string]int)}
}

// count is how many migrations are pending where these are applied. Several namespaces are planned together,
// and what is wrong with a plan is said of each tenant: both are unsettled, as is all without a survey.
func (s *survey) count(ctx context.Context, f *fleet, applied []int64) int {
	if s == nil || f.known.several() {
		return unsettled
	}
	slices.Sort(applied)
	var key strings.Builder
	for _, v := range applied {
		key.WriteString(strconv.FormatInt(v, 36) + " ")
	}
	n, ok := s.pending[key.String()]
	if !ok {
		var err error
		if n, err = f.m.pendingAt(ctx, f.known.whole, f.db, applied); err != nil {
			n = unsettled
		}
		s.pending[key.String()] = n
	}
	return n
}

// refusing are the environments because of which a run that has something to do might be refused, see environments.unfamiliar. A
// run with one environment is not refused by a database that has seen it.
func (o *options) refusing() (refusing []string) {
	stamps := o.stamps()
	for _, e := range o.protectedEnvironments {
		if len(stamps) > 1 || len(stamps) == 1 && e != stamps[0] {
			refusing = append(refusing, e)
		}
	}
	return refusing
}
