package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// A Server is a database server with tenants.
type Server struct {
	// Name is what tenants, lanes and people call it. It is written to the ledger, so it must not hold a DSN.
	Name string
	// Lanes is how many tenants are migrated at once on the server, over all workers. At least 1.
	Lanes int
	// Open opens a database of the server: the one named, or the server's own for tenants that are schemas, if database is
	// "". The fleet closes what Open returned. The server's own is opened once in each worker, and needs at least 5 connections for each
	// lane of the worker: leave its SetMaxOpenConns at 0, or set it that high.
	Open func(ctx context.Context, database string) (*sql.DB, error)
}

// checkServers returns the servers by their names.
func checkServers(list []Server) (map[string]Server, error) {
	servers := make(map[string]Server, len(list))
	var faults []error
	for _, s := range list {
		switch _, twice := servers[s.Name]; {
		case s.Name == "":
			faults = append(faults, errors.New("a server has no name"))
		case secret(s.Name):
			faults = append(faults, errors.New("the name of a server holds a DSN: it would be written to the ledger"))
		case twice:
			faults = append(faults, fmt.Errorf("server %q is given twice", s.Name))
		case s.Lanes < 1:
			faults = append(faults, fmt.Errorf("server %q: Lanes is %d, and has to be at least 1", s.Name, s.Lanes))
		case s.Open == nil:
			faults = append(faults, fmt.Errorf("server %q: Open is nil", s.Name))
		}
		servers[s.Name] = s
	}
	if len(list) == 0 {
		faults = append(faults, errors.New("there is no server"))
	}
	return servers, errors.Join(faults...)
}

// pools are the databases of servers that a worker has open.
type pools struct {
	servers map[string]Server

	mu   sync.Mutex
	open map[string]*sql.DB // guarded by mu
}

// get opens the server's own database if it isn't open, and makes sure that it answers.
func (p *pools) get(ctx context.Context, server string) (*sql.DB, error) {
	db, err := p.opened(ctx, server)
	if err != nil {
		return nil, err
	}
	return db, db.PingContext(ctx)
}

func (p *pools) opened(ctx context.Context, server string) (*sql.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if db := p.open[server]; db != nil {
		return db, nil
	}
	db, err := p.servers[server].Open(ctx, "")
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, fmt.Errorf("server %q: Open returned no database", server)
	}
	db.SetMaxIdleConns(4 * p.servers[server].Lanes) // otherwise each tenant pays for new connections
	if p.open == nil {
		p.open = make(map[string]*sql.DB)
	}
	p.open[server] = db
	return db, nil
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, db := range p.open {
		db.Close()
	}
	p.open = nil
}
