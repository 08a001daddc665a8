"""Which keys the database needs: asked of the values themselves, which say under what they were encrypted."""

from asyncpg import Connection

from src.core.config import ConfigurationError
from src.core.security.encryption import KEY_ID_BYTES, LEAST_BYTES, VERSION, Keyring

TABLE = "provider_tokens"
COLUMNS = ("access_token_encrypted", "refresh_token_encrypted", "id_token_encrypted")

KEY_OF = {column: f"substring({column} FROM {len(VERSION) + 1} FOR {KEY_ID_BYTES})" for column in COLUMNS}
_KEYS = ", ".join(
    rf"(CASE WHEN substring({column} FROM 1 FOR {len(VERSION)}) = '\x{VERSION.hex()}'"
    rf" AND length({column}) >= {LEAST_BYTES} THEN {key} END)"
    for column, key in KEY_OF.items()
)


async def rows_by_key(connection: Connection) -> dict[str, int]:
    """How many rows have a value under a key, by the key's id. What is no encrypted value needs none."""
    rows = await connection.fetch(
        f"""
        SELECT encode(key, 'hex') AS key_id, count(DISTINCT id) AS rows
        FROM {TABLE}, LATERAL (VALUES {_KEYS}) AS used (key)
        WHERE key IS NOT NULL GROUP BY key ORDER BY key
        """  # noqa: S608 - names of our own
    )
    return {row["key_id"]: row["rows"] for row in rows}


async def require_keys(connection: Connection, keyring: Keyring) -> None:
    """:class:`ConfigurationError`, one line for each key that rows need and ``keyring`` lacks."""
    lines = [
        f"ENCRYPTION_KEY: lacks the key {key_id}, under which {TABLE} has rows: {rows}; put it back"
        " behind the first one in env/local.<env>.yml, and drop it once `make rotate-keys` says so"
        for key_id, rows in (await rows_by_key(connection)).items()
        if key_id not in keyring.ids
    ]
    if lines:
        raise ConfigurationError("\n".join(lines))
