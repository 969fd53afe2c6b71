package drive

import (
	"database/sql/driver"

	"github.com/gooseplus/gooseplus/internal/session"
)

// Fence configures the session through which a run with the lock does all its work. Each transaction begins with the
// fence, an update of the run's own row, which stays locked until the transaction ends: nobody can declare the run dead
// meanwhile. The statement of the fence also has the server probe each connection, because a machine that is gone doesn't
// close it.
func (d *Driver) Fence(cfg *session.Config) {
	d.fenced = true
	cfg.OnBegin = append(cfg.OnBegin, session.Statement{
		Query: d.cfg.State.Runs.Fence(d.cfg.Run),
		Check: func(rows int64) error { return d.connections.stillOurs(rows > 0) },
	})
}

// Watch has the run know the connections of steps that no row lock covers: what the server does outside a transaction, or in one
// that DDL has committed. With the lock the state table names them, and other runners wait for them. With the lock or
// without, the run itself waits for those that it has lost, see [Connections.Await]; without, it does so if the server can tell.
func (d *Driver) Watch(cfg *session.Config) {
	cfg.Backend = session.Backend{
		Query: d.cfg.State.Connections.Query(d.cfg.Run), Optional: !d.fenced,
		Lost: func(row []driver.Value) { d.connections.orphans.add(backendName(row)) },
	}
	if d.fenced {
		cfg.Backend.Found = d.connections.found
	}
}
