-- How the server differs from its declaration, and the statements that repair it. Read twice: APPLY=false prints each difference
-- as a line of JSON, none when all is right, saying whether it takes a restart; APPLY=true runs the statements. Names and passwords
-- come from the environment (\getenv: psql 14 or later). Owner and runtime role may be the same: UNION makes one of them.
\set QUIET on
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
-- A statement that fails or is slow would be logged with the password in it.
SET log_min_error_statement = panic;
SET log_statement = none;
SET log_min_duration_statement = -1;
\getenv database DATABASE
\getenv owner OWNER
\getenv owner_password OWNER_PASSWORD
\getenv owner_refusal OWNER_REFUSAL
\getenv runtime RUNTIME
\getenv runtime_password RUNTIME_PASSWORD
\getenv runtime_refusal RUNTIME_REFUSAL
\set monitor ''
\getenv monitor MONITOR
\set monitor_password ''
\getenv monitor_password MONITOR_PASSWORD
\getenv monitor_refusal MONITOR_REFUSAL
\set unwatched ''
\getenv unwatched UNWATCHED
\getenv disposable DISPOSABLE
\getenv mark MARK
\getenv apply APPLY
\set hba ''
\getenv hba POSTGRES_HBA
-- psql substitutes a variable literally, so it can hold a backslash command (psql's manual, SQL interpolation). \gexec leaves
-- alone a NULL, which is the statement of what only a restart can repair.
\if :apply
-- Of two runs at the same time the second waits, and finds everything done.
DO 'BEGIN PERFORM pg_advisory_lock(hashtext(''databases.sql'')); END';
\set run 'ORDER BY what \\gexec'
\set columns statement
\else
\set run 'ORDER BY what \\g'
-- Without a statement of its own, or where the last start read what the statement takes away.
\set resets 'what = format(''setting %s, ALTER SYSTEM'', name) AND context = ''postmaster'' AND declared <> current_setting(name)'
\set restart 'statement IS NULL OR EXISTS (SELECT FROM pg_settings WHERE ' :resets ')'
\set columns 'json_build_object(''what'', what, ''declared'', declared, ''running'', running, ''restart'', ' :restart ')'
\endif

SELECT :columns
FROM (SELECT format('role %s', name), 'present', 'missing', format('CREATE ROLE %I', name)
      FROM (SELECT :'owner' UNION SELECT :'runtime' UNION SELECT :'monitor' WHERE :'monitor' <> '') AS wanted (name)
      WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)) AS differences (what, declared, running, statement)
:run

-- It owns nothing, and what it was granted is revoked.
SELECT :columns
FROM (SELECT format('role %s', rolname), 'missing', 'present', format('DROP OWNED BY %1$I; DROP ROLE %1$I', rolname)
      FROM pg_roles WHERE rolname = :'unwatched') AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('role %s: %s', rolname, attribute), wanted, found, format('ALTER ROLE %I %s', rolname, clause)
      FROM (SELECT :'owner', :'disposable'::boolean
            UNION SELECT :'runtime', :'disposable'::boolean AND :'runtime' = :'owner'
            UNION SELECT :'monitor', false) AS roles (name, createdb)
      JOIN pg_roles ON rolname = name
      CROSS JOIN LATERAL (VALUES
          ('login', 'yes', CASE WHEN rolcanlogin THEN 'yes' ELSE 'no' END, 'LOGIN'),
          ('superuser', 'no', CASE WHEN rolsuper THEN 'yes' ELSE 'no' END, 'NOSUPERUSER'),
          ('createrole', 'no', CASE WHEN rolcreaterole THEN 'yes' ELSE 'no' END, 'NOCREATEROLE'),
          ('createdb', CASE WHEN createdb THEN 'yes' ELSE 'no' END, CASE WHEN rolcreatedb THEN 'yes' ELSE 'no' END,
           CASE WHEN createdb THEN 'CREATEDB' ELSE 'NOCREATEDB' END),
          ('replication', 'no', CASE WHEN rolreplication THEN 'yes' ELSE 'no' END, 'NOREPLICATION'),
          ('bypassrls', 'no', CASE WHEN rolbypassrls THEN 'yes' ELSE 'no' END, 'NOBYPASSRLS'),
          ('inherit', 'yes', CASE WHEN rolinherit THEN 'yes' ELSE 'no' END, 'INHERIT'),
          ('connection limit', '-1', rolconnlimit::text, 'CONNECTION LIMIT -1'),
          ('valid until', 'infinity', coalesce(rolvaliduntil, 'infinity')::text, 'VALID UNTIL ''infinity''')
      ) AS attributes (attribute, wanted, found, clause)
      WHERE wanted <> found) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('role %s: member of %s', member::regrole, roleid::regrole), 'no', 'yes',
             format('REVOKE %s FROM %s GRANTED BY %s', roleid::regrole, member::regrole, grantor::regrole)
      FROM pg_auth_members
      WHERE member IN (SELECT oid FROM pg_roles WHERE rolname IN (:'owner', :'runtime', :'monitor'))
        AND NOT (pg_get_userbyid(member) = :'monitor' AND roleid = 'pg_monitor'::regrole AND NOT admin_option)
     ) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('role %s: member of pg_monitor', rolname), 'yes', 'no', format('GRANT pg_monitor TO %I', rolname)
      FROM pg_roles
      WHERE rolname = :'monitor'
        AND NOT EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid AND roleid = 'pg_monitor'::regrole)
     ) AS differences (what, declared, running, statement)
:run

-- The administrator has no password; a role's is known only by whether it lets one in.
SELECT :columns
FROM (SELECT format('role %s: password', rolname), 'none', '***', format('ALTER ROLE %I PASSWORD NULL', rolname)
      FROM pg_authid WHERE rolname = 'postgres' AND rolpassword IS NOT NULL
      UNION ALL
      SELECT format('role %s: password', rolname), '***', CASE WHEN rolpassword IS NULL THEN 'none' ELSE 'another' END,
             format('ALTER ROLE %I PASSWORD %L', rolname, password)
      FROM (SELECT :'owner', :'owner_password', :'owner_refusal'
            UNION SELECT :'runtime', :'runtime_password', :'runtime_refusal'
            UNION SELECT :'monitor', :'monitor_password', :'monitor_refusal') AS roles (name, password, refusal)
      JOIN pg_authid ON rolname = name
      WHERE refusal LIKE '%password authentication failed%' OR rolpassword IS NULL
     ) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('database %s', :'database'), 'present', 'missing',
             format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
      WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('database %s: owner', datname), :'owner', pg_get_userbyid(datdba),
             format('ALTER DATABASE %I OWNER TO %I', datname, :'owner')
      FROM pg_database WHERE datname = :'database' AND pg_get_userbyid(datdba) <> :'owner'
     ) AS differences (what, declared, running, statement)
:run

-- An empty datacl means the built-in default, which grants CONNECT to PUBLIC.
SELECT :columns
FROM (SELECT format('database %s: CONNECT of PUBLIC', datname), 'no', 'yes',
             format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname)
      FROM pg_database
      WHERE datallowconn
        AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))
                    WHERE grantee = 0 AND privilege_type = 'CONNECT')) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('database %s: CONNECT of %s', datname, rolname), 'yes', 'no',
             format('GRANT CONNECT ON DATABASE %I TO %I', datname, rolname)
      FROM pg_database, pg_roles
      WHERE datname = :'database' AND rolname IN (:'runtime', :'monitor')
        AND NOT EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = pg_roles.oid AND privilege_type = 'CONNECT')
     ) AS differences (what, declared, running, statement)
:run

-- Settings of the database and the roles. Only the mark is declared.
SELECT :columns
FROM (WITH found AS (
          SELECT datname, rolname, split_part(setting, '=', 1) AS name, substr(setting, strpos(setting, '=') + 1) AS value
          FROM pg_db_role_setting
          LEFT JOIN pg_database ON pg_database.oid = setdatabase
          LEFT JOIN pg_roles ON pg_roles.oid = setrole
          CROSS JOIN LATERAL unnest(setconfig) AS setting
          WHERE (setdatabase = 0 OR datname = :'database') AND (setrole = 0 OR rolname IN (:'owner', :'runtime', :'monitor'))),
      wanted AS (
          SELECT datname, NULL::name AS rolname, :'mark' AS name, 'on' AS value
          FROM pg_database WHERE datname = :'database' AND :'disposable'::boolean),
      differing AS (
          SELECT coalesce(wanted.datname, found.datname) AS datname, found.rolname, coalesce(wanted.name, found.name) AS name,
                 wanted.value AS wanted, found.value AS found
          FROM found
          FULL JOIN wanted ON found.name = wanted.name AND found.datname = wanted.datname AND found.rolname IS NULL
          WHERE wanted.value IS DISTINCT FROM found.value),
      named AS (
          SELECT *, (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(name, '.')) AS part) AS quoted
          FROM differing)
      SELECT concat_ws(', ', 'setting ' || name, 'database ' || datname, 'role ' || rolname,
                       CASE WHEN num_nulls(datname, rolname) = 2 THEN 'every role' END),
             coalesce(wanted, 'none'), coalesce(found, 'none'),
             CASE WHEN rolname IS NOT NULL OR datname IS NULL
                  THEN format('ALTER ROLE %s%s ', coalesce(quote_ident(rolname), 'ALL'), ' IN DATABASE ' || quote_ident(datname))
                  ELSE format('ALTER DATABASE %I ', datname) END
             || CASE WHEN wanted IS NULL THEN format('RESET %s', quoted) ELSE format('SET %s = %L', quoted, wanted) END
      FROM named) AS differences (what, declared, running, statement)
:run

-- ALTER SYSTEM writes this file, and nothing of ours does. What wins without it: a flag of ours, or what initdb wrote.
SELECT :columns
FROM (SELECT DISTINCT ON (file.name) format('setting %s, ALTER SYSTEM', file.name),
             CASE WHEN source = 'command line' THEN current_setting(file.name)
                  ELSE coalesce((SELECT initial.setting FROM pg_file_settings AS initial
                                 WHERE initial.name = file.name AND initial.sourcefile LIKE '%/postgresql.conf'
                                 ORDER BY seqno DESC LIMIT 1), boot_val || coalesce(unit, ''), 'none') END,
             file.setting, format('ALTER SYSTEM RESET %s', file.name)
      FROM pg_file_settings AS file LEFT JOIN pg_settings ON lower(pg_settings.name) = lower(file.name)
      WHERE file.sourcefile LIKE '%/postgresql.auto.conf'
      ORDER BY file.name, file.seqno DESC) AS differences (what, declared, running, statement)
:run

\if :apply
SELECT pg_reload_conf();
\endif

-- What a reload cannot change: the last start has read it from a file that says something else by now. A flag of ours is pending as
-- soon as the file says anything else, although it wins at the next start, too.
SELECT :columns
FROM (SELECT format('setting %s, since the last start', name),
             coalesce((SELECT setting FROM pg_file_settings AS file WHERE file.name = pg_settings.name ORDER BY seqno DESC LIMIT 1),
                      boot_val || coalesce(unit, ''), 'none'),
             current_setting(name), NULL
      FROM pg_settings
      WHERE pending_restart AND source <> 'command line'
        AND NOT EXISTS (SELECT FROM pg_file_settings AS file
                        WHERE file.name = pg_settings.name AND file.sourcefile LIKE '%/postgresql.auto.conf')
     ) AS differences (what, declared, running, statement)
:run

-- What a server without our flag hba_file would read: the image's entrypoint has written there that everybody is trusted.
SELECT :columns
FROM (SELECT 'pg_hba.conf in the data directory', 'the same as the server reads', 'another',
             format('COPY (SELECT unnest(string_to_array(%L, E''\n''))) TO %L', rtrim(:'hba', E'\n'), file)
      FROM (SELECT current_setting('data_directory') || '/pg_hba.conf') AS files (file)
      WHERE :'hba' <> '' AND pg_read_file(file, true) IS DISTINCT FROM :'hba'
     ) AS differences (what, declared, running, statement)
:run

-- The container's command writes it at each start.
SELECT :columns
FROM (SELECT 'pg_hba.conf', coalesce(string_agg(line, '; ') FILTER (WHERE ours), 'nothing else'),
             coalesce(string_agg(line, '; ') FILTER (WHERE NOT ours), 'nothing in its place'), NULL
      FROM (SELECT string_to_array(rtrim(:'hba', E'\n'), E'\n') AS wanted,
                   string_to_array(rtrim(pg_read_file(current_setting('hba_file')), E'\n'), E'\n') AS found) AS files
      LEFT JOIN LATERAL (
          SELECT line, true AS ours FROM unnest(wanted) AS line WHERE line <> ALL (found)
          UNION ALL
          SELECT line, false FROM unnest(found) AS line WHERE line <> ALL (wanted)) AS lines ON true
      WHERE :'hba' <> '' AND wanted <> found
      HAVING count(*) > 0) AS differences (what, declared, running, statement)
:run

SELECT :columns
FROM (SELECT format('role %s: login', name), 'works', refusal, NULL
      FROM (SELECT :'owner', :'owner_refusal' UNION SELECT :'runtime', :'runtime_refusal'
            UNION SELECT :'monitor', :'monitor_refusal') AS roles (name, refusal)
      WHERE refusal <> ''
        AND refusal !~ 'password authentication failed|is not permitted to log in|does not exist|permission denied for database'
     ) AS differences (what, declared, running, statement)
:run
