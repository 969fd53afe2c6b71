package dbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	serversEnv = "GOOSEPLUS_TEST_SERVERS"
	requireEnv = "GOOSEPLUS_REQUIRE_SERVERS"
)

// errAbsent marks that a way to a server does not exist here, as opposed to one that exists and is broken.
var errAbsent = errors.New("not there")

// absent marks an error with errAbsent, and leaves its text as it is.
type absent struct{ error }

func (absent) Is(target error) bool { return target == errAbsent }
func (a absent) Unwrap() error      { return a.error }

// A missingError says that none of the ways led to a server.
type missingError struct {
	engine *engine
	tried  []error
}

func (e *missingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no %s", e.engine.name)
	if e.engine.dsnEnv != "" {
		b.WriteString(" server")
	}
	b.WriteString(": ")
	for i, err := range e.tried {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	if e.engine.dsnEnv == "" {
		fmt.Fprintf(&b, ". Install the package %s", e.engine.installed)
		return b.String()
	}
	fmt.Fprintf(&b, ". Either set %s to the DSN of a running server, or start a docker engine that has or can pull the "+
		"image %s (%s names another), or install the package %s", e.engine.dsnEnv, e.engine.image, e.engine.imageEnv,
		e.engine.installed)
	return b.String()
}

// mustFail decides what happens to a test that did not get its server: it fails if servers are required, or if the
// server is not merely missing; otherwise it is skipped.
func mustFail(err error, require string) bool {
	var missing *missingError
	return !errors.As(err, &missing) || require != "" && require != "0"
}

// find returns a server, trying the ways in the order that the package comment gives. If none of them leads to a server
// because nothing is there, the error is a missingError; one that is there and doesn't start is any other error.
func find(ctx context.Context, e *engine, getenv func(string) string, logf func(string, ...any)) (Server, error) {
	if dsn := getenv(e.dsnEnv); dsn != "" {
		return given(ctx, e, dsn)
	}
	image := getenv(e.imageEnv)
	if image == "" {
		image = e.image
	}
	only := getenv(serversEnv)
	if only != "" && only != "docker" && only != "local" {
		return Server{}, fmt.Errorf("%s=%q: want docker, local or nothing", serversEnv, only)
	}
	var tried []error
	broken := false
	for _, way := range []struct {
		name  string
		start func() (Server, error)
	}{
		{"docker", func() (Server, error) { return startContainer(ctx, e, image) }},
		{"local", func() (Server, error) { return startLocal(ctx, e, freePort) }},
	} {
		if only != "" && only != way.name {
			tried = append(tried, fmt.Errorf("%s=%s allows no other way", serversEnv, only))
			continue
		}
		server, err := way.start()
		if err != nil {
			tried = append(tried, err)
			broken = broken || !errors.Is(err, errAbsent)
			continue
		}
		if broken {
			logf("using %v: %v", server, errors.Join(tried...))
		}
		return server, nil
	}
	if broken {
		return Server{}, fmt.Errorf("start %s: %w", e.name, errors.Join(tried...))
	}
	return Server{}, &missingError{engine: e, tried: tried}
}

// given connects to a server that somebody else runs, and which may still be starting.
func given(ctx context.Context, e *engine, dsn string) (Server, error) {
	ep, err := e.parse(dsn)
	if err != nil {
		return Server{}, fmt.Errorf("%s: %w", e.dsnEnv, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := e.awaitUnless(ctx, ep, refused); err != nil {
		return Server{}, fmt.Errorf("%s: %w", e.dsnEnv, hide(err, ep.password))
	}
	return Server{
		engine: e, endpoint: ep, outlives: true, from: e.dsnEnv,
		stop: func() error { return nil },
	}, nil
}

// refused returns an error that time doesn't mend: the server has answered, and doesn't take the user, the password or the
// database.
func refused(err error) error {
	var state interface{ SQLState() string }
	if errors.As(err, &state) && slices.Contains([]string{"28000", "28P01", "3D000"}, state.SQLState()) {
		return err
	}
	var e *mysql.MySQLError
	if errors.As(err, &e) && slices.Contains([]uint16{1044, 1045, 1049, 1698}, e.Number) { // ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
		return err
	}
	return nil
}

// hide returns err, or an error without the password if its text holds it.
func hide(err error, password string) error {
	if err == nil || password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), password, "***"))
}
