package drive

import (
	"database/sql/driver"

	"github.com/gooseplus/gooseplus/internal/session"
)

// Fence configures the session through which a run with the lock does all its work. Each transaction begins with the
// fence, an update of the run's own row, which stays locked until the transaction ends: nobody can declare the run dead
// meanwhile. No row lock shows what the server does outside a transaction, or in one that DDL has committed. If there may
// be such steps, the state table names the connections that the run uses for them. The statement of the fence also has
// the server probe each connection, because a machine that is gone doesn't close it.
func (d *Driver) Fence(cfg *session.Config, unfenced bool) {
	d.fenced = true
	cfg.OnBegin = append(cfg.OnBegin, session.Statement{
		Query: d.cfg.State.Runs.Fence(d.cfg.Run),
		Check: func(rows int64) error { return d.connections.stillOurs(rows > 0) },
	})
	if unfenced {
		cfg.Backend = session.Backend{
			Query: d.cfg.State.Connections.Query(d.cfg.Run), Found: d.connections.found,
			Lost: func(row []driver.Value) { d.connections.orphans.add(backendName(row)) },
		}
	}
}
