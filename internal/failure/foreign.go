package failure

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// outcome is an error that reports the outcome of a call, such as ErrDirty.
type outcome struct{ text string }

func (e *outcome) Error() string { return e.text }

// Outcome is errors.New for errors that report the outcome of a call. [Foreign] hides them.
func Outcome(text string) error { return &outcome{text} }

// foreign is the error of a function of the application's that has one of this library's in it.
type foreign struct{ err error }

// Foreign hides this library's own errors in err from errors.Is and errors.As. A function of the application's may have used
// another Migrator, and the outcome of that run says nothing about the run that called the function. The text stays the same,
// and all other errors are found.
func Foreign(err error) error {
	if !hasOwn(err) {
		return err
	}
	return &foreign{err}
}

// hasOwn says whether one of this library's errors is in err.
func hasOwn(err error) bool {
	if err == nil || own(reflect.TypeOf(err)) {
		return err != nil
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return hasOwn(x.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(x.Unwrap(), hasOwn)
	}
	return false
}

func (e *foreign) Error() string { return e.err.Error() }

func (e *foreign) Is(target error) bool {
	return !own(reflect.TypeOf(target)) && errors.Is(e.err, target)
}

func (e *foreign) As(target any) bool {
	return !own(reflect.TypeOf(target).Elem()) && errors.As(e.err, target)
}

// own says whether an error of that type is one of this library's.
func own(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	module := strings.TrimSuffix(reflect.TypeFor[outcome]().PkgPath(), "/internal/failure")
	return t.PkgPath() == module || strings.HasPrefix(t.PkgPath(), module+"/")
}
