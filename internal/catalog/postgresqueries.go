package catalog

// postgresQuery reads the objects of one kind. Its fields except class and from are SQL expressions, in which [written] writes out
// the {words}. Columns that came after PostgreSQL 13 are read as to_jsonb(row) ->> 'column'.
type postgresQuery struct {
	// class is the system catalog, and oid and sub the object's address in it; "" if comment, drop and name are given.
	class, oid string
	kind       string
	name       string // that of pg_identify_object if ""
	of, copyOf string // keys
	definition string
	owner, acl string
	comment    string
	drop       string // DROP kind and the identity if ""
	weak       string
	from       string // the class as o if "", without objects of the server, of an extension, or of another object
	where      string
	// made is a system catalog that has a row of each object that the query finds; initdb makes none of these objects. It is
	// the class if from is "". A query that has a from and no made always runs.
	made string
}

var postgresQueries = []postgresQuery{
	{ // The database itself.
		kind: `'the database'`, name: `''`, acl: `COALESCE(datacl, acldefault('d', datdba))`, owner: `datdba`, comment: `shobj_description(oid, 'pg_database')`,
		drop: `NULL`, from: `pg_database`, where: `datname = current_database()`,
	},
	{
		kind: `'setting'`, name: `concat_ws(' ', split_part(item, '=', 1), 'of role ' || NULLIF(setrole, 0)::regrole)`, of: `'the database'`,
		definition: `substr(item, strpos(item, '=') + 1)`, drop: `NULL`,
		from:  `pg_db_role_setting, unnest(setconfig) item`,
		where: `setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`,
	},
	{
		class: `pg_namespace`, oid: `n.oid`, kind: `'schema'`, name: `quote_ident(nspname)`, owner: `nspowner`, acl: `COALESCE(nspacl, acldefault('n', nspowner))`,
		from: `pg_namespace n`, where: `{schema n.oid} AND {own pg_namespace n.oid}`,
	},
	{ // Relations except indexes. A sequence can belong to a column, and an identity column makes its sequence.
		class: `pg_class`, oid: `c.oid`, kind: `{kind c.relkind}`, name: `c.oid::regclass`,
		of:   `'column ' || s.refobjid::regclass || '.' || quote_ident(column_.attname)`,
		weak: `s.deptype = 'i'`,
		definition: `concat_ws(', ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
			CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
			CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'with no data' END,
			CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END,
			CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
			(SELECT 'inherits ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhparent::regclass::text) FROM pg_inherits WHERE inhrelid = c.oid),
			CASE WHEN c.relrowsecurity THEN 'row level security' END,
			CASE WHEN c.relforcerowsecurity THEN 'row level security for the owner' END,
			CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'i' THEN 'replica identity using an index'
				WHEN 'n' THEN CASE WHEN c.relkind IN ('r', 'p', 'm') THEN 'replica identity nothing' END END,
			'of type ' || NULLIF(c.reloftype, 0)::regtype, 'with (' || array_to_string(c.reloptions, ', ') || ')',
			(SELECT 'tablespace ' || spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace),
			(SELECT 'access method ' || amname FROM pg_am a WHERE a.oid = c.relam AND amname <> 'heap'),
			(SELECT format('as %s start %s increment %s from %s to %s cache %s%s', seqtypid::regtype, seqstart, seqincrement, seqmin,
				seqmax, seqcache, CASE WHEN seqcycle THEN ' cycle' ELSE '' END) FROM pg_sequence WHERE seqrelid = c.oid),
			'owned by ' || s.refobjid::regclass || '.' || quote_ident(column_.attname),
			(SELECT concat_ws(' ', 'on server', quote_ident(srvname), array_to_string(ftoptions, ', ')) FROM pg_foreign_table
				JOIN pg_foreign_server s ON s.oid = ftserver WHERE ftrelid = c.oid))`,
		owner: `c.relowner`,
		acl: `CASE c.relkind WHEN 'c' THEN (SELECT COALESCE(typacl, acldefault('T', typowner)) FROM pg_type t WHERE t.oid = c.reltype)
			ELSE COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) END`,
		comment: `CASE c.relkind WHEN 'c' THEN obj_description(c.reltype, 'pg_type') ELSE obj_description(c.oid, 'pg_class') END`,
		from: `pg_class c LEFT JOIN pg_depend s ON s.classid = 'pg_class'::regclass AND s.objid = c.oid AND c.relkind = 'S'
			AND s.refclassid = 'pg_class'::regclass AND s.deptype IN ('a', 'i')
			LEFT JOIN pg_attribute column_ ON column_.attrelid = s.refobjid AND column_.attnum = s.refobjsubid`,
		where: `c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {schema c.relnamespace} AND {own pg_class c.oid}`,
	},
	{ // Columns, and attributes of composite types, with the options that ALTER TABLE sets. Some servers keep a counter of their own
		// in the options (pg_attver in Debian's 15.20).
		kind: `'column'`, name: `a.attrelid::regclass || '.' || quote_ident(a.attname)`, of: `{kind c.relkind} || ' ' || c.oid::regclass`,
		copyOf: `(SELECT 'column ' || inhparent::regclass || '.' || quote_ident(u.attname) FROM pg_inherits
			JOIN pg_attribute u ON u.attrelid = inhparent AND u.attname = a.attname WHERE inhrelid = a.attrelid ORDER BY inhseqno LIMIT 1)`,
		weak: `c.relkind IN ('v', 'm')`,
		definition: `concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
			(SELECT 'collate ' || quote_ident(collname) FROM pg_collation o WHERE o.oid = a.attcollation AND a.attcollation <> t.typcollation),
			CASE a.attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated by default as identity' END,
			CASE WHEN a.attgenerated <> '' THEN 'generated (' || pg_get_expr(d.adbin, d.adrelid) || ')' END, CASE a.attgenerated WHEN 'v' THEN 'virtual' END,
			CASE WHEN a.attstorage <> t.typstorage THEN
				'storage ' || CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END,
			'compression ' || CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
			'statistics ' || CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
			(SELECT 'with (' || string_agg(o, ', ' ORDER BY o) || ')' FROM unnest(a.attoptions) o WHERE o LIKE 'n\_distinct%'),
			'options (' || array_to_string(a.attfdwoptions, ', ') || ')')`,
		acl: `a.attacl`, comment: `col_description(a.attrelid, a.attnum)`,
		drop: `CASE WHEN c.relkind IN ('r', 'p', 'f') THEN format('ALTER TABLE %s DROP COLUMN %I', {id pg_class c.oid}, a.attname)
			WHEN c.relkind = 'c' THEN format('ALTER TYPE %s DROP ATTRIBUTE %I', {id pg_class c.oid}, a.attname) END`,
		from: `pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
			LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum`,
		where: `a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'c', 'v', 'm') AND {schema c.relnamespace} AND {own pg_class c.oid}`,
	},
	{
		kind: `'default'`, name: `'of ' || a.attrelid::regclass || '.' || quote_ident(a.attname)`, of: `'column ' || a.attrelid::regclass || '.' || quote_ident(a.attname)`,
		copyOf: `(SELECT 'default of ' || inhparent::regclass || '.' || quote_ident(u.attname) FROM pg_inherits
			JOIN pg_attribute u ON u.attrelid = inhparent AND u.attname = a.attname WHERE inhrelid = a.attrelid ORDER BY inhseqno LIMIT 1)`,
		definition: `pg_get_expr(d.adbin, d.adrelid)`,
		drop:       `format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', {id pg_class c.oid}, a.attname)`,
		from:       `pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN pg_class c ON c.oid = a.attrelid`,
		where:      `a.attgenerated = '' AND {schema c.relnamespace} AND {own pg_class c.oid}`,
	},
	{ // Constraints of tables and domains. NOT NULL is in the definition of the column. A foreign key to a partitioned table has one
		// more constraint in the same table for each partition.
		class: `pg_constraint`, oid: `k.oid`, kind: `'constraint'`, name: `quote_ident(k.conname) || ' on ' || {bearer of k}`,
		of: `CASE WHEN c.oid IS NULL THEN 'type' ELSE {kind c.relkind} END || ' ' || {bearer of k}`,
		copyOf: `COALESCE('constraint ' || quote_ident(u.conname) || ' on ' || u.conrelid::regclass,
			(SELECT 'constraint ' || quote_ident(k.conname) || ' on ' || inhparent::regclass FROM pg_inherits
				JOIN pg_constraint p ON p.conrelid = inhparent AND p.conname = k.conname AND p.contype = 'c'
				WHERE inhrelid = k.conrelid AND k.contype = 'c' AND k.coninhcount > 0 ORDER BY inhseqno LIMIT 1))`,
		definition: `pg_get_constraintdef(k.oid) || CASE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgconstraint = k.oid AND tgisinternal AND tgenabled <> 'O')
			THEN ', triggers not enabled' ELSE '' END`,
		drop: `format('ALTER %s DROP CONSTRAINT %I', CASE WHEN c.oid IS NULL THEN 'DOMAIN ' || {id pg_type k.contypid} ELSE 'TABLE ' || {id pg_class c.oid} END, k.conname)`,
		from: `pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_constraint u ON u.oid = k.conparentid`,
		where: `k.contype NOT IN ('n', 't') AND {schema k.connamespace} AND {own pg_constraint k.oid} AND (u.oid IS NULL OR u.conrelid <> k.conrelid)
			AND {own pg_class c.oid} AND {own pg_type k.contypid}`,
	},
	{ // The index of a constraint is a part of the constraint.
		class: `pg_class`, oid: `x.oid`, kind: `'index'`, name: `x.oid::regclass`,
		of:     `COALESCE('constraint ' || quote_ident(k.conname) || ' on ', {kind t.relkind} || ' ') || t.oid::regclass`,
		copyOf: `(SELECT 'index ' || inhparent::regclass FROM pg_inherits WHERE inhrelid = x.oid)`,
		definition: `concat_ws(', ', pg_get_indexdef(x.oid), CASE WHEN NOT i.indisvalid THEN 'invalid' END,
			CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'replica identity' END,
			(SELECT 'tablespace ' || spcname FROM pg_tablespace s WHERE s.oid = x.reltablespace),
			(SELECT string_agg(format('statistics %s of column %s', attstattarget, attnum), ', ' ORDER BY attnum)
				FROM pg_attribute WHERE attrelid = x.oid AND attstattarget >= 0))`,
		from: `pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
			LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')`,
		where: `{schema t.relnamespace} AND {own pg_class t.oid}`,
	},
	{
		class: `pg_trigger`, oid: `g.oid`, kind: `'trigger'`, name: `quote_ident(g.tgname) || ' on ' || c.oid::regclass`, of: `{kind c.relkind} || ' ' || c.oid::regclass`,
		copyOf:     `'trigger ' || quote_ident(u.tgname) || ' on ' || u.tgrelid::regclass`,
		definition: `pg_get_triggerdef(g.oid) || {fires g.tgenabled}`,
		from:       `pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid LEFT JOIN pg_trigger u ON u.oid = g.tgparentid`,
		where:      `NOT g.tgisinternal AND {schema c.relnamespace} AND {own pg_class c.oid}`,
		made:       `pg_trigger`,
	},
	{
		class: `pg_rewrite`, oid: `r.oid`, kind: `'rule'`, name: `quote_ident(rulename) || ' on ' || c.oid::regclass`, of: `{kind c.relkind} || ' ' || c.oid::regclass`,
		definition: `pg_get_ruledef(r.oid) || {fires ev_enabled}`,
		from:       `pg_rewrite r JOIN pg_class c ON c.oid = ev_class`, where: `rulename <> '_RETURN' AND {schema c.relnamespace} AND {own pg_class c.oid}`,
		made: `pg_rewrite`,
	},
	{
		class: `pg_policy`, oid: `p.oid`, kind: `'policy'`, name: `quote_ident(polname) || ' on ' || c.oid::regclass`, of: `'table ' || c.oid::regclass`,
		definition: `concat_ws(' ', CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END,
			'for ' || CASE polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END,
			'to ' || (SELECT string_agg(CASE role WHEN 0 THEN 'public' ELSE role::regrole::text END, ', ' ORDER BY role) FROM unnest(polroles) role),
			'using ' || pg_get_expr(polqual, polrelid), 'check ' || pg_get_expr(polwithcheck, polrelid))`,
		from: `pg_policy p JOIN pg_class c ON c.oid = polrelid`, where: `{schema c.relnamespace} AND {own pg_class c.oid}`,
		made: `pg_policy`,
	},
	{
		class: `pg_proc`, oid: `p.oid`, kind: `CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END`, name: `p.oid::regprocedure`,
		definition: `CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE (SELECT concat_ws(', ', 'sfunc ' || aggtransfn, 'stype ' || aggtranstype::regtype,
			'initcond ' || agginitval, {function finalfunc aggfinalfn}, CASE WHEN aggfinalextra THEN 'finalfunc_extra' END, 'finalfunc_modify ' || aggfinalmodify::text,
			{function combinefunc aggcombinefn}, {function serialfunc aggserialfn}, {function deserialfunc aggdeserialfn},
			{function msfunc aggmtransfn}, {function minvfunc aggminvtransfn}, {function mfinalfunc aggmfinalfn}, 'mstype ' || NULLIF(aggmtranstype, 0)::regtype,
			'sortop ' || NULLIF(aggsortop, 0)::regoper, 'kind ' || aggkind::text, 'parallel ' || proparallel::text) FROM pg_aggregate WHERE aggfnoid = p.oid) END`,
		owner: `proowner`, acl: `COALESCE(proacl, acldefault('f', proowner))`,
		from: `pg_proc p`, where: `{schema p.pronamespace} AND {made pg_proc p.oid}`,
		made: `pg_proc`,
	},
	{ // Types, except the types of tables and arrays.
		class: `pg_type`, oid: `t.oid`, kind: `'type'`, name: `t.oid::regtype`,
		definition: `CASE typtype WHEN 'e' THEN 'enum' WHEN 'b' THEN 'base type' WHEN 'p' THEN 'shell'
			WHEN 'r' THEN (SELECT concat_ws(' ', 'range of ' || rngsubtype::regtype, {function subtype_diff rngsubdiff}, {function canonical rngcanonical})
				FROM pg_range WHERE rngtypid = t.oid)
			ELSE concat_ws(' ', 'domain', format_type(typbasetype, typtypmod), CASE WHEN typnotnull THEN 'not null' END, 'default ' || typdefault,
				(SELECT 'collate ' || quote_ident(collname) FROM pg_collation o JOIN pg_type b ON b.oid = t.typbasetype
					WHERE o.oid = t.typcollation AND o.oid <> b.typcollation)) END`,
		owner: `typowner`, acl: `COALESCE(typacl, acldefault('T', typowner))`,
		from:  `pg_type t`,
		where: `(typtype IN ('e', 'd', 'r', 'b') OR typtype = 'p' AND NOT typisdefined) AND typcategory <> 'A' AND {schema t.typnamespace} AND {own pg_type t.oid}`,
	},
	{
		kind: `'enum value'`, name: `enumtypid::regtype || '.' || quote_literal(enumlabel)`, of: `'type ' || enumtypid::regtype`, drop: `NULL`,
		from: `pg_enum e JOIN pg_type t ON t.oid = enumtypid`, where: `{schema t.typnamespace} AND {own pg_type t.oid}`,
		made: `pg_enum`,
	},
	{
		kind: `'order of the values'`, name: `'of ' || t.oid::regtype`, of: `'type ' || t.oid::regtype`, weak: `true`, drop: `NULL`,
		definition: `(SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)`,
		from:       `pg_type t`, where: `typtype = 'e' AND {schema t.typnamespace} AND {own pg_type t.oid}`,
		made: `pg_enum`,
	},
	{
		class: `pg_extension`, oid: `e.oid`, kind: `'extension'`, name: `quote_ident(extname)`, definition: `'version ' || extversion || ' in schema ' || quote_ident(nspname)`,
		from: `pg_extension e JOIN pg_namespace n ON n.oid = extnamespace`, where: `true`,
	},
	{
		kind: `'default privileges'`, name: `format('of %s for %s%s', defaclrole::regrole, CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
			WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END, ' in ' || NULLIF(defaclnamespace, 0)::regnamespace)`,
		definition: `(SELECT string_agg(concat_ws(' ', privilege_type, CASE WHEN is_grantable THEN 'with grant option' END,
			'to ' || CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END), ', ' ORDER BY grantee, privilege_type) FROM aclexplode(defaclacl))`,
		drop: `NULL`, from: `pg_default_acl`, where: `true`,
		made: `pg_default_acl`,
	},
	{
		class: `pg_statistic_ext`, oid: `s.oid`, kind: `'statistics'`,
		name: `CASE WHEN pg_statistics_obj_is_visible(s.oid) THEN '' ELSE stxnamespace::regnamespace || '.' END || quote_ident(stxname)`,
		of:   `{kind c.relkind} || ' ' || c.oid::regclass`, owner: `stxowner`,
		definition: `concat_ws(' ', pg_get_statisticsobjdef(s.oid), 'statistics ' || CASE WHEN stxstattarget >= 0 THEN stxstattarget END)`,
		from:       `pg_statistic_ext s JOIN pg_class c ON c.oid = stxrelid`, where: `{schema s.stxnamespace} AND {own pg_statistic_ext s.oid}`,
		made: `pg_statistic_ext`,
	},
	{ // The options have passwords, so only their hash is read.
		kind: `'user mapping'`, name: `format('for %s server %I', CASE umuser WHEN 0 THEN 'public' ELSE quote_ident(usename) END, srvname)`,
		definition: `'options ' || left(md5(umoptions::text), 8)`, drop: `format('DROP USER MAPPING FOR %s SERVER %I', CASE umuser WHEN 0 THEN 'public' ELSE quote_ident(usename) END, srvname)`,
		from: `pg_user_mappings`, where: `true`,
	},
	{ // A language that comes with the server can't be dropped, but its grants can be revoked.
		class: `pg_language`, kind: `'language'`, owner: `lanowner`, acl: `COALESCE(lanacl, acldefault('l', lanowner))`,
		from: `pg_language o`, where: `o.oid < 16384 OR {made pg_language o.oid}`,
	},
	{
		class: `pg_event_trigger`, kind: `'event trigger'`, owner: `evtowner`,
		definition: `concat_ws(' ', 'on', evtevent, 'when tag in (' || array_to_string(evttags, ', ') || ')', 'execute', evtfoid::regproc) || {fires evtenabled}`,
	},
	{ // PostgreSQL describes what is published, because newer versions can publish more kinds of objects.
		class: `pg_publication`, kind: `'publication'`, owner: `pubowner`,
		definition: `concat_ws(', ', CASE WHEN puballtables THEN 'for all tables' END, CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
			CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END, CASE WHEN pubviaroot THEN 'via partition root' END,
			(SELECT string_agg(text, ', ' ORDER BY text) FROM (SELECT DISTINCT pg_describe_object(classid, objid, 0) AS text FROM pg_depend
				WHERE refclassid = 'pg_publication'::regclass AND refobjid = o.oid) d),
			(SELECT string_agg(format('columns %s of %s', names, prrelid::regclass), ', ' ORDER BY prrelid::regclass::text) FROM (SELECT prrelid,
				(SELECT string_agg(quote_ident(attname), ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = prrelid
					AND to_jsonb(r) -> 'prattrs' @> to_jsonb(attnum)) AS names FROM pg_publication_rel r WHERE prpubid = o.oid) l WHERE names <> ''),
			(SELECT string_agg(format('%I.%I where %s', schemaname, tablename, to_jsonb(t) ->> 'rowfilter'), ', ' ORDER BY schemaname, tablename)
				FROM pg_publication_tables t WHERE t.pubname = o.pubname AND to_jsonb(t) ->> 'rowfilter' <> ''))`,
	},
	{ // Few users may read more of it: the connection has a password. To drop one, the server may ask another one.
		kind: `'subscription'`, name: `quote_ident(subname)`, owner: `subowner`, drop: `NULL`,
		definition: `concat_ws(', ', 'to ' || array_to_string(subpublications, ', '), 'slot ' || quote_ident(subslotname), CASE WHEN NOT subenabled THEN 'disabled' END)`,
		from:       `pg_subscription`, where: `subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
	},
	{
		class: `pg_collation`, kind: `'collation'`, owner: `collowner`,
		definition: `concat_ws(', ', CASE collprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' WHEN 'b' THEN 'builtin' ELSE 'default' END,
			'locale ' || COALESCE(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', collcollate), 'ctype ' || NULLIF(collctype, collcollate),
			'rules ' || (to_jsonb(o) ->> 'collicurules'), CASE WHEN NOT collisdeterministic THEN 'not deterministic' END)`,
	},
	{
		class: `pg_operator`, kind: `'operator'`, owner: `oprowner`,
		definition: `concat_ws(', ', {function function oprcode}, {function restrict oprrest}, {function join oprjoin}, 'commutator ' || NULLIF(oprcom, 0)::regoper,
			'negator ' || NULLIF(oprnegate, 0)::regoper, CASE WHEN oprcanmerge THEN 'merges' END, CASE WHEN oprcanhash THEN 'hashes' END)`,
	},
	{
		class: `pg_opclass`, kind: `'operator class'`, owner: `opcowner`, of: `'operator family ' || {id pg_opfamily opcfamily}`,
		definition: `concat_ws(' ', CASE WHEN opcdefault THEN 'default' END, 'for type', opcintype::regtype, 'storage ' || NULLIF(opckeytype, 0)::regtype)`,
	},
	{
		class: `pg_opfamily`, kind: `'operator family'`, owner: `opfowner`,
		definition: `concat_ws(', ', (SELECT string_agg(format('operator %s %s', amopstrategy, amopopr::regoperator), ', ' ORDER BY amopstrategy, amopopr::regoperator::text)
				FROM pg_amop WHERE amopfamily = o.oid),
			(SELECT string_agg(format('function %s %s', amprocnum, amproc::oid::regprocedure), ', ' ORDER BY amprocnum, amproc::oid::regprocedure::text)
				FROM pg_amproc WHERE amprocfamily = o.oid))`,
	},
	{
		class: `pg_cast`, kind: `'cast'`,
		definition: `concat_ws(' ', CASE castmethod WHEN 'f' THEN 'with function ' || castfunc::regprocedure WHEN 'i' THEN 'with inout' ELSE 'without function' END,
			CASE castcontext WHEN 'a' THEN 'as assignment' WHEN 'i' THEN 'as implicit' END)`,
	},
	{
		class: `pg_conversion`, kind: `'conversion'`, owner: `conowner`,
		definition: `concat_ws(' ', CASE WHEN condefault THEN 'default' END, 'for', pg_encoding_to_char(conforencoding), 'to', pg_encoding_to_char(contoencoding), 'from', conproc)`,
	},
	{
		class: `pg_foreign_data_wrapper`, kind: `'foreign data wrapper'`, owner: `fdwowner`, acl: `COALESCE(fdwacl, acldefault('F', fdwowner))`,
		definition: `concat_ws(' ', {function handler fdwhandler}, {function validator fdwvalidator}, 'options ' || array_to_string(fdwoptions, ', '))`,
	},
	{
		class: `pg_foreign_server`, kind: `'server'`, owner: `srvowner`, acl: `COALESCE(srvacl, acldefault('S', srvowner))`,
		definition: `concat_ws(' ', 'type ' || srvtype, 'version ' || srvversion, 'options ' || array_to_string(srvoptions, ', '))`,
	},
	{
		class: `pg_ts_config`, kind: `'text search configuration'`, owner: `cfgowner`,
		definition: `(SELECT string_agg(dictionaries, ', ' ORDER BY dictionaries) FROM (
			SELECT alias || ' with ' || string_agg(mapdict::regdictionary::text, ' ' ORDER BY mapseqno) AS dictionaries
			FROM pg_ts_config_map JOIN ts_token_type(o.cfgparser) ON tokid = maptokentype WHERE mapcfg = o.oid GROUP BY alias) m)`,
	},
	{
		class: `pg_ts_dict`, kind: `'text search dictionary'`, owner: `dictowner`,
		definition: `concat_ws(' ', 'template', (SELECT tmplname FROM pg_ts_template t WHERE t.oid = dicttemplate), dictinitoption)`,
	},
	{class: `pg_ts_parser`, kind: `'text search parser'`},
	{class: `pg_ts_template`, kind: `'text search template'`},
	{class: `pg_transform`, kind: `'transform'`, definition: `concat_ws(' ', {function from trffromsql}, {function to trftosql})`},
	{class: `pg_am`, kind: `'access method'`, definition: `'handler ' || amhandler`},
}
