"""What a database does by itself and whom it lets do what, as lines that can be compared with another's.

Two databases that the same migrations have made have the same lines. Definitions are compared as PostgreSQL
prints them, but for constraints: a CHECK with a list of values is printed otherwise once it has been dumped
and restored, and the application compares its constraints with its models.
"""

from __future__ import annotations

from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Server

# Names come out qualified, and nothing that a dump has made is in the way of PostgreSQL's own functions.
SAFE = "SET search_path = pg_catalog;"
# Each query yields a name for people and what the name does not say. PostgreSQL's own objects have oids below
# 16384 (FirstNormalObjectId in src/include/access/transam.h); those of an extension come with it.
OWN = """
    {0}.oid >= 16384 AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = '{1}'::regclass AND objid = {0}.oid AND deptype = 'e'
    )
"""
PROGRAMS = [
    "SELECT 'extension ' || quote_ident(extname), '' FROM pg_extension",
    """
    SELECT CASE prokind WHEN 'a' THEN 'aggregate ' WHEN 'p' THEN 'procedure ' ELSE 'function ' END
               || oid::regprocedure, CASE prokind WHEN 'a' THEN '' ELSE pg_get_functiondef(oid) END
    FROM pg_proc WHERE {pg_proc}
    """,
    """
    SELECT format('trigger %I on %s', tgname, tgrelid::regclass), tgenabled::text || pg_get_triggerdef(oid)
    FROM pg_trigger WHERE NOT tgisinternal
    """,
    "SELECT 'event trigger ' || quote_ident(evtname), '' FROM pg_event_trigger",
    """
    SELECT format('rule %I on %s', rulename, ev_class::regclass), ev_enabled::text || pg_get_ruledef(oid)
    FROM pg_rewrite WHERE {pg_rewrite} AND rulename <> '_RETURN'
    """,
    """
    SELECT format('policy %I on %s', polname, polrelid::regclass),
           concat_ws('|', polcmd, polpermissive, polroles::regrole[]::text,
                     pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy
    """,
    "SELECT 'operator ' || oid::regoperator, oprcode::text FROM pg_operator WHERE {pg_operator}",
    """
    SELECT format('cast from %s to %s', format_type(castsource, NULL), format_type(casttarget, NULL)),
           castcontext::text
    FROM pg_cast WHERE {pg_cast}
    """,
    "SELECT 'conversion ' || quote_ident(conname), '' FROM pg_conversion WHERE {pg_conversion}",
    "SELECT 'language ' || quote_ident(lanname), '' FROM pg_language WHERE {pg_language}",
    "SELECT 'foreign-data wrapper ' || quote_ident(fdwname), '' FROM pg_foreign_data_wrapper",
    "SELECT 'foreign server ' || quote_ident(srvname), '' FROM pg_foreign_server",
    "SELECT 'publication ' || quote_ident(pubname), puballtables::text FROM pg_publication",
    # One that is named like a role comes before `public` in that role's search path.
    "SELECT 'schema ' || quote_ident(nspname), '' FROM pg_namespace WHERE {schemas}",
]
REST = [
    """
    SELECT 'table ' || pg_class.oid::regclass,
           concat_ws('|', relkind, relpersistence, relrowsecurity, relforcerowsecurity, inhparent::regclass)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_inherits ON inhrelid = pg_class.oid WHERE relkind IN ('r', 'p', 'f') AND {schemas}
    """,
    """
    SELECT format('column %s.%I', attrelid::regclass, attname),
           concat_ws('|', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
                     pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped AND {schemas}
    """,
    """
    SELECT format('constraint %I on %s', conname, conrelid::regclass),
           concat_ws('|', contype, convalidated, condeferrable, condeferred)
    FROM pg_constraint JOIN pg_namespace ON pg_namespace.oid = connamespace WHERE {schemas}
    """,
    """
    SELECT format('privilege %s of %s on %s', privilege_type,
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, what), is_grantable::text
    FROM (
        SELECT CASE relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || pg_class.oid::regclass,
               relowner, relacl
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE {schemas}
        UNION ALL
        SELECT format('column %s.%I', attrelid::regclass, attname), relowner, attacl
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE {schemas}
        UNION ALL
        SELECT 'schema ' || quote_ident(nspname), nspowner, nspacl FROM pg_namespace WHERE {schemas}
        UNION ALL
        SELECT 'function ' || pg_proc.oid::regprocedure, proowner, coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE {schemas}
        UNION ALL
        SELECT 'type ' || format_type(pg_type.oid, NULL), typowner, typacl
        FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace WHERE {schemas}
        UNION ALL
        SELECT 'language ' || quote_ident(lanname), lanowner, lanacl FROM pg_language
        UNION ALL
        SELECT format('what %s makes in schema %s (kind %s)', defaclrole::regrole,
                      coalesce(nullif(defaclnamespace, 0)::regnamespace::text, 'any'), defaclobjtype),
               defaclrole, defaclacl
        FROM pg_default_acl
    ) AS granted (what, owner, acl), aclexplode(acl) WHERE grantee <> owner
    """,
]


def _lines(server: Server, database: str, queries: list[str]) -> dict[str, str]:
    catalogs = ("pg_proc", "pg_rewrite", "pg_operator", "pg_cast", "pg_conversion", "pg_language")
    known = {name: OWN.format(name, name) for name in catalogs}
    known["schemas"] = "nspname !~ '^pg_' AND nspname <> 'information_schema'"
    script = " UNION ALL ".join(query.format(**known) for query in queries)
    found = server.query(database, f"{SAFE}\nSELECT name, md5(said) FROM ({script}) AS lines (name, said);")
    pairs = (line.rpartition("|") for line in found.splitlines())
    return {name: digest for name, _, digest in pairs}


def programs(server: Server, database: str) -> dict[str, str]:
    """Return what may run by itself, by its name for people: functions, triggers, rules, extensions ..."""
    return _lines(server, database, PROGRAMS)


def everything(server: Server, database: str) -> dict[str, str]:
    """Return that, and tables, columns, constraints and the privileges of all but owners."""
    return _lines(server, database, PROGRAMS + REST)


def refuse_more(found: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise Problem if something was found that is not wanted, or that is wanted in another form."""
    for name in sorted(found.keys() - wanted.keys()):
        raise Problem(f"it has the {name}, which the application's own database does not have")
    for name in sorted(name for name in found if found[name] != wanted[name]):
        raise Problem(f"its {name} is not that of the application's own database")


def refuse_other(found: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise Problem if they differ at all."""
    refuse_more(found, wanted)
    for name in sorted(wanted.keys() - found.keys()):
        raise Problem(f"it lacks the {name}")
