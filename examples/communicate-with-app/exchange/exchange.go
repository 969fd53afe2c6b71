// Package exchange is what the application and its Go migrations tell each other. It is a package
// of its own, because both import it.
package exchange

import "context"

// Input is what the migrations need to know of the application's configuration.
type Input struct {
	CountryCode string // of phone numbers that were saved without one
}

// Output is what the migrations found out. It counts only if Migrate returned nil: a migration that
// filled it may have been undone.
type Output struct {
	Converted  int
	Unreadable []string
}

type exchange struct {
	input  Input
	output *Output
}

// key is a type of its own, so that no other package's values can be under it.
type key struct{}

// WithExchange gives the migrations that run with the context an input, and a place for the output.
func WithExchange(ctx context.Context, input Input, output *Output) context.Context {
	return context.WithValue(ctx, key{}, exchange{input, output})
}

// From returns what the application passed, and whether it did.
func From(ctx context.Context) (Input, *Output, bool) {
	e, ok := ctx.Value(key{}).(exchange)
	return e.input, e.output, ok
}
