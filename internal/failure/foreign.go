package failure

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// outcome is an error by which this library tells callers, and itself, what became of a call.
type outcome struct{ text string }

func (e *outcome) Error() string { return e.text }

// Outcome makes an error that is told, unlike one by errors.New, only by the call that it is true of: see [Foreign].
func Outcome(text string) error { return &outcome{text} }

// foreign is the error of a function of the application's that has one of this library's in it.
type foreign struct{ err error }

// Foreign is err without this library's own errors in it, for errors.Is and errors.As: a function of the application's
// may have used another Migrator, and what became of that one's run says nothing of the run that called the function.
// The text is the same, and everybody else's errors are found.
func Foreign(err error) error {
	if !hasOwn(err) {
		return err
	}
	return &foreign{err}
}

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
