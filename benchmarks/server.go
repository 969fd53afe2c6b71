package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
)

// A server is the PostgreSQL that everything is measured on.
type server struct {
	admin *sql.DB
	dsn   *url.URL
	from  string
	stop  func()
}

// openServer connects to the server that the DSN, a URL, names, or starts one if it is empty.
func openServer(ctx context.Context, dsn string) (*server, error) {
	s := &server{from: dsnEnv, stop: func() {}}
	if dsn == "" {
		local, err := startServer(ctx)
		if err != nil {
			return nil, err
		}
		s, dsn = &server{from: "started for this, in a temporary directory", stop: local.stop}, local.dsn
	}
	var err error
	if s.dsn, err = url.Parse(dsn); err != nil || s.dsn.Host == "" {
		s.stop()
		return nil, errors.New(dsnEnv + " is not a URL like postgres://user:password@host:port/database?sslmode=disable")
	}
	if s.admin, err = sql.Open("postgres", dsn); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.admin.PingContext(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) close() {
	_ = s.admin.Close()
	s.stop()
}

// settings describes the server, with those settings that decide what a commit costs.
func (s *server) settings(ctx context.Context) (string, error) {
	var text string
	err := s.admin.QueryRowContext(ctx, `SELECT string_agg(name || '=' || current_setting(name), ', ' ORDER BY name)
		FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'shared_buffers')`).Scan(&text)
	if err != nil {
		return "", err
	}
	var version string
	err = s.admin.QueryRowContext(ctx, `SELECT current_setting('server_version')`).Scan(&version)
	return fmt.Sprintf("PostgreSQL %s (%s): %s", version, s.from, text), err
}

// checkpoint writes out what is due. A user who may not ask for it has to live with checkpoints at any time.
func (s *server) checkpoint(ctx context.Context) { _, _ = s.admin.ExecContext(ctx, "CHECKPOINT") }

// A database is new, and only this process knows its name.
type database struct {
	server *server
	name   string
	dsn    string
}

// create makes a database, empty if there is no template.
func (s *server) create(ctx context.Context, template *database) (*database, error) {
	return s.copy(ctx, template, "")
}

// copy is create with a strategy of CREATE DATABASE.
func (s *server) copy(ctx context.Context, template *database, strategy string) (*database, error) {
	from := "template0"
	if template != nil {
		from = template.name
	}
	name := "gooseplus_bench_" + strings.ToLower(rand.Text()[:12])
	if _, err := s.admin.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE "+pq.QuoteIdentifier(from)+strategy); err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	dsn := *s.dsn
	dsn.Path, dsn.RawPath = "/"+name, ""
	return &database{server: s, name: name, dsn: dsn.String()}, nil
}

// drop is called on the way out too, when the caller's context may have ended. A database that stays is the worst that
// can happen, so that there is nothing to report.
func (d *database) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, _ = d.server.admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(d.name)+" WITH (FORCE)")
}

// tables counts the tables that the migrations made.
func (d *database) tables(ctx context.Context) (n int, err error) {
	db, err := sql.Open("postgres", d.dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'account\_%'`).Scan(&n)
	return n, err
}
