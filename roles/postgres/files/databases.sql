-- The statements that make roles, database, privileges and mark what is declared; none when all is. Read twice: APPLY=false
-- prints them, APPLY=true runs them. Names and passwords come from the environment (\getenv: psql 14 or later).
-- Owner and runtime role may be the same: UNION makes one of them.
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
\getenv owner_fails OWNER_FAILS
\getenv runtime RUNTIME
\getenv runtime_password RUNTIME_PASSWORD
\getenv runtime_fails RUNTIME_FAILS
\getenv disposable DISPOSABLE
\getenv mark MARK
\getenv apply APPLY
-- psql substitutes a variable literally, so it can hold a backslash command (psql's manual, SQL interpolation).
\if :apply
\set run '\\gexec'
\else
\set run '\\g'
\set owner_password '***'
\set runtime_password '***'
\endif

SELECT format('CREATE ROLE %I', name)
FROM (SELECT :'owner' UNION SELECT :'runtime') AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
:run

SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS %s', name,
              CASE WHEN createdb THEN 'CREATEDB' ELSE 'NOCREATEDB' END)
FROM (SELECT :'owner', :'disposable'::boolean UNION SELECT :'runtime', :'disposable'::boolean AND :'runtime' = :'owner')
     AS wanted (name, createdb)
LEFT JOIN pg_roles ON rolname = name
WHERE (rolcanlogin, rolsuper, rolcreaterole, rolreplication, rolbypassrls, rolcreatedb)
      IS DISTINCT FROM (true, false, false, false, false, createdb)
:run

SELECT format('ALTER ROLE %I PASSWORD %L', name, password)
FROM (SELECT :'owner', :'owner_password', :'owner_fails'::boolean UNION SELECT :'runtime', :'runtime_password', :'runtime_fails'::boolean)
     AS wanted (name, password, fails)
WHERE fails
:run

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
:run

SELECT format('ALTER DATABASE %I OWNER TO %I', datname, :'owner')
FROM pg_database WHERE datname = :'database' AND pg_get_userbyid(datdba) <> :'owner'
:run

-- An empty datacl means the built-in default, which grants CONNECT to PUBLIC.
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname)
FROM pg_database
WHERE datallowconn
  AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT')
:run

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', :'database', :'runtime')
WHERE NOT EXISTS (
    SELECT FROM pg_database, aclexplode(datacl)
    WHERE datname = :'database' AND pg_get_userbyid(grantee) = :'runtime' AND privilege_type = 'CONNECT')
:run

SELECT format(CASE WHEN :'disposable'::boolean THEN 'ALTER DATABASE %I SET %s = %L' ELSE 'ALTER DATABASE %I RESET %s' END,
              :'database',
              (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(:'mark', '.')) AS part), 'on')
WHERE :'disposable'::boolean IS DISTINCT FROM EXISTS (
    SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
    WHERE datname = :'database' AND setrole = 0 AND :'mark' || '=on' = ANY (setconfig))
:run
