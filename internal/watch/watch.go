// Package watch hands an observer of events, or of a look at many tenants, over in a context. It is for the
// command line, which is given a Migrator that is made already, observers included.
package watch

import "context"

type key struct{}

// With returns a context whose runs tell observe of their events, each a gooseplus.Event, one at a time.
func With(ctx context.Context, observe func(event any)) context.Context {
	return context.WithValue(ctx, key{}, observe)
}

// From returns the observer of a context, nil if it has none.
func From(ctx context.Context) func(event any) {
	observe, _ := ctx.Value(key{}).(func(event any))
	return observe
}
