package watch

import "context"

type surveyKey struct{}

// Found is what a look at many tenants at once says of one.
type Found struct {
	Tenant  string
	Version int64 // the highest of any namespace
	Pending int
}

// WithSurvey returns a context in which EachTenant looks at many schemas at once, as MigrateTenants does. It
// calls found, and not its function, for each tenant of which that says all that Plan and Version would: not for
// those that a run would be refused, nor for those that need a closer look. found is never called twice at once.
func WithSurvey(ctx context.Context, found func(Found)) context.Context {
	return context.WithValue(ctx, surveyKey{}, found)
}

// Survey returns found, nil if there is none.
func Survey(ctx context.Context) func(Found) {
	found, _ := ctx.Value(surveyKey{}).(func(Found))
	return found
}
