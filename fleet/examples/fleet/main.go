// A fleet of 100 tenants on two servers, brought to a new version by three workers. One of the workers is killed on the way,
// and the others take over its tenants 30 seconds later.
//
// It needs PostgreSQL: a control database and two more, that stand for two servers. `make demo-fleet` starts a server for
// it; FLEET_POSTGRES is the DSN (a URL) of another one, on which it makes three databases and drops them at the end.
package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/fleet/fleetcli"
)

//go:embed migrations
var migrations embed.FS

// The names of the databases.
const (
	controlDatabase = "gooseplus_demo_control"
	serverA         = "gooseplus_demo_a"
	serverB         = "gooseplus_demo_b"
	perServer       = 50
)

func main() {
	log.SetFlags(log.Ltime)
	server := os.Getenv("FLEET_POSTGRES")
	if server == "" {
		server = os.Getenv("GOOSEPLUS_TEST_POSTGRES_SHARED") // of make demo-fleet
	}
	if server == "" {
		log.Fatal("this example needs PostgreSQL: run `make demo-fleet`, which starts a server if it is installed, or set FLEET_POSTGRES to the URL of one")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := demo
	if len(os.Args) > 1 && os.Args[1] == "work" {
		run = work
	}
	if err := run(ctx, server); err != nil {
		log.Fatal(err)
	}
}

// openFleet returns the fleet. Every process makes it in the same way.
func openFleet(server string) (*fleet.Fleet, func(), error) {
	control, err := open(server, controlDatabase)
	if err != nil {
		return nil, nil, err
	}
	migrator := gooseplus.New(nil, gooseplus.WithFS(migrations), gooseplus.WithBasePath("migrations"), gooseplus.SetEnvironments(nil))
	var servers []fleet.Server
	for _, name := range []string{serverA, serverB} {
		servers = append(servers, fleet.Server{
			Name: name, Lanes: 3,
			Open: func(context.Context, string) (*sql.DB, error) { return open(server, name) },
		})
	}
	f, err := fleet.New(control, migrator, servers, fleet.WithWorkerLanes(2))
	return f, func() { control.Close() }, err
}

// work is one worker.
func work(ctx context.Context, server string) error {
	f, done, err := openFleet(server)
	if err != nil {
		return err
	}
	defer done()
	return f.Work(ctx)
}

func demo(ctx context.Context, server string) (err error) {
	defer func() { err = errors.Join(err, dropDatabases(server)) }()
	if err := makeDatabases(ctx, server); err != nil {
		return err
	}
	f, done, err := openFleet(server)
	if err != nil {
		return err
	}
	defer done()
	if err := f.MigrateControl(ctx); err != nil {
		return err
	}
	synced, err := f.Sync(ctx, tenants)
	if err != nil {
		return err
	}
	log.Printf("the ledger has %d tenants on two servers", synced.Total)
	var workers []*exec.Cmd
	for range 3 {
		w, err := startWorker(ctx)
		if err != nil {
			return err
		}
		defer w.Wait()
		defer w.Process.Signal(syscall.SIGTERM)
		workers = append(workers, w)
	}
	plan := fleet.Plan{Name: "orders-total", Waves: []fleet.Wave{
		{Canaries: []string{"a_0", "b_0"}}, {Share: 1, Soak: time.Second},
	}, Budget: fleet.Budget{Failures: 5}}
	if err := f.Start(ctx, plan); err != nil {
		return err
	}
	return watch(ctx, f, plan.Name, workers[0])
}

// watch shows the rollout, and kills a worker when the second wave is under way.
func watch(ctx context.Context, f *fleet.Fleet, name string, victim *exec.Cmd) error {
	killed := false
	for last := ""; ; time.Sleep(500 * time.Millisecond) {
		p, err := f.Progress(ctx, name)
		if err != nil {
			return err
		}
		if text := fleetcli.Text(p); text != last {
			fmt.Print(text)
			last = text
		}
		if p.State.Ended() {
			log.Printf("done in %v", p.Ended.Sub(p.Started).Round(time.Second))
			return nil
		}
		if p.State == fleet.Stopped {
			return fmt.Errorf("the rollout stopped: %s", p.Reason)
		}
		if !killed && p.Wave == 2 && p.Tenants.Done >= 10 {
			killed = true
			log.Printf("kill -9 %d: one of three workers; its tenants are claimed again in 30 seconds", victim.Process.Pid)
			if err := victim.Process.Kill(); err != nil {
				return err
			}
		}
	}
}

func tenants(yield func(fleet.Tenant, error) bool) {
	for i := range perServer {
		a, b := fmt.Sprintf("a_%d", i), fmt.Sprintf("b_%d", i)
		if !yield(fleet.Tenant{ID: a, Server: serverA, Schema: a}, nil) || !yield(fleet.Tenant{ID: b, Server: serverB, Schema: b}, nil) {
			return
		}
	}
}

func startWorker(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, "work")
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// open opens a database of the server.
func open(server, database string) (*sql.DB, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the DSN of the server is no URL")
	}
	if database != "" {
		u.Path = "/" + database
	}
	return sql.Open("pgx", u.String())
}

func makeDatabases(ctx context.Context, server string) error {
	db, err := open(server, "")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range []string{controlDatabase, serverA, serverB} {
		if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
			return fmt.Errorf("can't make the database %s: %w", name, err)
		}
	}
	for prefix, name := range map[string]string{"a": serverA, "b": serverB} {
		if err := makeSchemas(ctx, server, name, prefix); err != nil {
			return err
		}
	}
	return nil
}

func makeSchemas(ctx context.Context, server, database, prefix string) error {
	db, err := open(server, database)
	if err != nil {
		return err
	}
	defer db.Close()
	for i := range perServer {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE SCHEMA %s_%d", prefix, i)); err != nil {
			return err
		}
	}
	return nil
}

func dropDatabases(server string) error {
	db, err := open(server, "")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range []string{controlDatabase, serverA, serverB} {
		if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}
