-- +goose Up
CREATE TABLE fleet_server (
    name       text PRIMARY KEY,
    frozen     boolean NOT NULL DEFAULT false,
    reason     text NOT NULL DEFAULT ''
);

CREATE TABLE fleet_rollout (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    plan        jsonb NOT NULL,
    migrations  text NOT NULL, -- the fingerprint of the migration set
    state       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    wave        integer NOT NULL DEFAULT 0, -- tenants of this wave and of earlier ones may be claimed
    opened_at   timestamptz NOT NULL DEFAULT now(), -- the wave
    finished_at timestamptz, -- the wave, while the next one is not open
    coordinator bigint NOT NULL DEFAULT 0, -- the generation of the coordinator's job
    beat_at     timestamptz NOT NULL DEFAULT now(), -- its last sign of life
    started_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(), -- its state
    ended_at    timestamptz
);
-- Tenants have one state each, so that one rollout at a time may be under way.
CREATE UNIQUE INDEX fleet_rollout_active ON fleet_rollout ((true)) WHERE state IN ('running', 'paused', 'stopped', 'undoing');

CREATE TABLE fleet_tenant (
    id         text PRIMARY KEY,
    server     text NOT NULL,
    schema     text NOT NULL DEFAULT '',
    database   text NOT NULL DEFAULT '',
    pinned     boolean NOT NULL DEFAULT false,
    gone       boolean NOT NULL DEFAULT false, -- the source no longer has it
    reason     text NOT NULL DEFAULT '', -- why it is pinned
    rollout    bigint REFERENCES fleet_rollout,
    wave       integer NOT NULL DEFAULT 0,
    state      text NOT NULL DEFAULT 'new',
    version    bigint NOT NULL DEFAULT -1, -- the highest version applied, as far as known
    attempts   integer NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT now(),
    claim      text, -- fleet_lane.holder
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX fleet_tenant_open ON fleet_tenant (rollout, server, wave, next_at, id) WHERE state IN ('pending', 'failed', 'claimed');
CREATE INDEX fleet_tenant_claim ON fleet_tenant (claim) WHERE claim IS NOT NULL;
CREATE INDEX fleet_tenant_count ON fleet_tenant (rollout, wave, state, pinned, server) WHERE NOT gone;

CREATE TABLE fleet_lane (
    server     text NOT NULL,
    slot       integer NOT NULL,
    generation bigint NOT NULL DEFAULT 1, -- of the job that may hold it
    holder     text, -- the token of the job that holds it; NULL if nobody does
    lease      timestamptz, -- the holder is dead after this time
    worker     text NOT NULL DEFAULT '',
    PRIMARY KEY (server, slot)
) WITH (fillfactor = 50);

CREATE TABLE fleet_result (
    rollout    bigint NOT NULL REFERENCES fleet_rollout,
    tenant     text NOT NULL,
    planned    text[] NOT NULL DEFAULT '{}', -- versions that its runs were about to apply
    applied    text[] NOT NULL DEFAULT '{}', -- versions that its runs applied and that stayed applied
    unsure     boolean NOT NULL DEFAULT false, -- a run has begun, and its end is not recorded
    state      text NOT NULL,
    version    bigint NOT NULL DEFAULT -1,
    attempts   integer NOT NULL DEFAULT 0, -- failed ones
    waits      integer NOT NULL DEFAULT 0, -- runs that came to nothing and cost no attempt
    error      text NOT NULL DEFAULT '',
    server     text NOT NULL DEFAULT '',
    worker     text NOT NULL DEFAULT '',
    took       interval,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rollout, tenant)
) WITH (fillfactor = 70);
CREATE INDEX fleet_result_failed ON fleet_result (rollout) WHERE state IN ('failed', 'stale', 'missing');

CREATE TABLE fleet_worker (
    id         text PRIMARY KEY,
    migrations text NOT NULL,
    lanes      integer NOT NULL,
    beat_at    timestamptz NOT NULL
);

-- The numbers of tenants by state in a large rollout, which its coordinator counts now and then.
CREATE TABLE fleet_tally (
    rollout bigint PRIMARY KEY REFERENCES fleet_rollout,
    at      timestamptz NOT NULL,
    tallies jsonb NOT NULL
);

-- Since when the control database has been reached without a gap, by any worker.
CREATE TABLE fleet_pulse (
    id     boolean PRIMARY KEY DEFAULT true CHECK (id),
    since  timestamptz NOT NULL,
    latest timestamptz NOT NULL
);

CREATE TABLE fleet_event (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    rollout bigint,
    subject text NOT NULL,
    what    text NOT NULL
);

-- +goose Down
DROP TABLE fleet_event, fleet_pulse, fleet_tally, fleet_worker, fleet_result, fleet_lane, fleet_tenant, fleet_rollout, fleet_server;
