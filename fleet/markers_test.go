package fleet_test

import (
	"fmt"
	"strings"
)

// markers are the markers of all tenants: versions by tenant, each as often as it ran.
func (s *stage) markers() map[string][]int64 {
	s.t.Helper()
	found := make(map[string][]int64)
	for name, db := range s.databases {
		for id := range s.tenantsWithMarkers(db, name) {
			found[id] = nil
		}
		var parts []string
		flush := func() {
			if len(parts) == 0 {
				return
			}
			rows, err := db.QueryContext(s.t.Context(), strings.Join(parts, " UNION ALL "))
			if err != nil {
				s.t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				var version int64
				if err := rows.Scan(&id, &version); err != nil {
					s.t.Fatal(err)
				}
				found[id] = append(found[id], version)
			}
			if err := rows.Err(); err != nil {
				s.t.Fatal(err)
			}
			parts = parts[:0]
		}
		for id := range s.tenantsWithMarkers(db, name) {
			parts = append(parts, fmt.Sprintf(`(SELECT '%s', version FROM "%s".marker ORDER BY version)`, id, id))
			if len(parts) == 200 {
				flush()
			}
		}
		flush()
	}
	return found
}

func (s *stage) tenantsWithMarkers(db *testDB, server string) map[string]bool {
	s.t.Helper()
	rows, err := db.QueryContext(s.t.Context(), `SELECT schemaname FROM pg_tables WHERE tablename = 'marker' AND schemaname LIKE $1`, server+`\_%`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	ids := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			s.t.Fatal(err)
		}
		ids[id] = true
	}
	return ids
}

// expectMarkers expects each of so many tenants to have exactly these markers.
func (s *stage) expectMarkers(tenants int, want ...int64) {
	s.t.Helper()
	found := s.markers()
	if len(found) != tenants {
		s.t.Errorf("%d tenants have markers, want %d", len(found), tenants)
		s.explain(found)
	}
	for id, versions := range found {
		if fmt.Sprint(versions) != fmt.Sprint(want) {
			s.t.Errorf("tenant %s has markers %v, want %v", id, versions, want)
		}
	}
}

// explain logs what the ledger has of tenants without markers.
func (s *stage) explain(found map[string][]int64) {
	s.t.Helper()
	rows, err := s.control.QueryContext(s.t.Context(), `SELECT t.id, t::text, coalesce(r::text, '') FROM fleet_tenant t LEFT JOIN fleet_result r
		ON r.tenant = t.id AND r.rollout = t.rollout WHERE NOT gone`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, tenant, result string
		if err := rows.Scan(&id, &tenant, &result); err != nil {
			s.t.Fatal(err)
		}
		if _, ok := found[id]; !ok {
			s.t.Logf("%s: %s %s", id, tenant, result)
		}
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
}
