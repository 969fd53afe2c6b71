package migset

import (
	"errors"
	"fmt"

	"github.com/gooseplus/gooseplus/internal/dryrun"
)

// Kind says what a [Fault] is about.
type Kind int

const (
	// Setting is a wrong option.
	Setting Kind = iota
	// Merge keeps the migrations from being one sequence.
	Merge
	// Definition is Merge for the definition with the Version and Source.
	Definition
	// Content is in the body of one migration, in the Direction.
	Content
)

// The two directions of a migration.
const (
	Up   = "up"
	Down = "down"
)

// Fault is one thing that is wrong with the migrations.
type Fault struct {
	Kind      Kind
	Namespace string

	Version     int64
	Source      string
	Environment string
	Direction   string
	// SQL is the part of a file that goose can't parse, "" if goose doesn't say. It can hold data and passwords.
	SQL string

	Err error
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

func settingFault(format string, args ...any) *Fault {
	return &Fault{Kind: Setting, Err: fmt.Errorf(format, args...)}
}

func mergeFault(format string, args ...any) *Fault {
	return &Fault{Kind: Merge, Err: fmt.Errorf(format, args...)}
}

// mergeFaults makes a fault of each error that was joined.
func mergeFaults(err error) (faults []*Fault) {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		if err != nil {
			faults = append(faults, &Fault{Kind: Merge, Err: err})
		}
	}
	return faults
}

func definitionFault(m Migration, err error) *Fault {
	return &Fault{Kind: Definition, Version: m.Version, Source: m.Source, Err: err}
}

func (s *Set) contentFault(m Migration, direction string, err error) *Fault {
	fault := &Fault{
		Kind: Content, Namespace: s.Namespace, Version: m.Version, Source: m.Source, Environment: m.Environment, Direction: direction, Err: err,
	}
	if script, ok := errors.AsType[*dryrun.ScriptError](err); ok {
		fault.SQL = script.SQL
	}
	return fault
}
