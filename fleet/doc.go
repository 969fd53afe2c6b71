// Package fleet brings the tenants of many database servers to a new version, worked on by many processes that can be killed
// at any time. For tenants of one server, or for a job that one process can do in a few minutes,
// [gooseplus.Migrator.MigrateTenants] is enough and needs none of this.
//
//	f, err := fleet.New(control, migrator, []fleet.Server{{Name: "eu-1", Lanes: 8, Open: openEU1}, …})
//	err = f.MigrateControl(ctx)                                  // the tables of the control database
//	_, err = f.Sync(ctx, tenants)                                // who is there
//	err = f.Start(ctx, fleet.Plan{Name: "2026-12-orders", …})    // once, or as often as you like
//	err = f.Work(ctx)                                            // in many processes, until ctx ends
//
// # The control database
//
// It is a PostgreSQL database, opened with pgx's driver for database/sql, and holds two kinds of tables: the ledger (fleet_…)
// and the job queue River (river_…, https://riverqueue.com). [Fleet.MigrateControl] makes both. The ledger knows each tenant's
// server, state and version, each rollout, each result and what people did. It holds no DSN: [Server].Open
// makes connections from a server's name. Neither do job arguments and logs; in the texts of errors passwords are replaced.
//
// # Lanes
//
// [Server].Lanes is how many tenants of a server are migrated at once, over all workers. A lane is a job of River. It takes one of the server's slots, claims up to 50 tenants, looks at all of them with one statement, and migrates those that
// have something to do one by one, with a run of [gooseplus.Migrator.Migrate] each. After 20 seconds it gives its place in the
// worker to lanes that wait. The ledger is written twice for a tenant with nothing to do: its claim and its result, each
// together with those of 50 others. It is written three times for a migrated tenant: the claim, the beginning, and the result.
//
// # A tenant is never migrated twice
//
// The lock of gooseplus, in the tenant's own database, excludes a second run; New turns it on. The ledger decides who works:
//
//   - A lane holds its slot, and with it the tenants it has claimed, under a lease of 30 seconds, which its worker renews every 2
//     seconds, for all lanes at once. When the lease has run out, any worker frees the slot and the tenants.
//   - A run asks the ledger before it touches the tenant: is the rollout still running, the claim still ours, the tenant not
//     pinned, its server not frozen? The same statement records the versions that the run is about to apply. If the
//     control database doesn't answer, the run doesn't begin.
//   - When a run has ended, its result is written until the ledger has it. If a worker is killed between the two, the next
//     one asks the tenant's database which of the recorded versions it has.
//
// A rollout's coordinator, another job, opens waves and makes sure of the lanes. If it dies, another worker appoints its successor
// within 10 seconds; River's leader isn't needed for it.
//
// # States
//
// A tenant is pending, claimed, done, failed, stale, missing or undone, and held while it is pinned or its server is frozen. A
// failed tenant is tried again after 5 seconds, 30 seconds and 3 minutes. The fourth failure makes it stale: rollouts leave it out
// until [Fleet.Reset]. It is stale at once if another attempt can't help: [gooseplus.ErrDirty], [gooseplus.ErrIrreversible],
// [gooseplus.ErrEdited] and their like. Another runner's lock, a server that doesn't answer, and a lost lock cost
// no attempt: the tenant's turn comes again 5 seconds later.
//
// # Rollouts
//
// A [Plan] divides the tenants into waves. A wave begins when the tenants of the waves before it are at their ends, its
// soak time is over, and somebody has approved it, if it wants that. A canary that fails, or a budget that is used up, stops the
// rollout in the very transaction that records the failure: only tenants in progress come after it, at most one for each lane.
// Tenants in progress are never interrupted.
//
// Only one rollout at a time is under way. Workers take part in those of their own migration set: a worker of an older or newer
// release leaves the rollout alone.
//
// # Undoing
//
// [Fleet.Undo] undoes exactly the versions that the rollout applied, in exactly those tenants. It compares what
// [gooseplus.Migrator.Rollback] is about to undo with the ledger, inside the tenant's lock, before the first step.
package fleet
