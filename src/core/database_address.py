"""A database URL, taken apart once."""

import re
import ssl
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True)
class DatabaseAddress:
    """Where a database is and who asks; the password does not show in a traceback."""

    username: str
    password: str = field(repr=False)
    host: str
    port: int
    database: str
    # How the driver is to verify the server; False is plain text.
    tls: ssl.SSLContext | Literal[False] = field(default=False, compare=False)

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | Literal[False] = False) -> "DatabaseAddress":
        """Return the parts of a URL, each decoded.

        Raise ``ValueError`` if another parser might read the URL differently. SQLAlchemy's parser is not
        used: it does not decode the database, and it takes longer to import than all the rest of a start at
        an up-to-date database. It gets the parts instead (:func:`src.core.database.sqlalchemy_url`).
        """
        parts = urlsplit(url)
        if parts.scheme != "postgresql+asyncpg" or parts.query or parts.fragment or url.count("@") != 1:
            raise ValueError
        written = parts.path.removeprefix("/")
        database = unquote(written)
        if not (parts.username and parts.password and parts.hostname and re.fullmatch(r"[^/]+", written)):
            raise ValueError
        # Encoded completely and in capitals, or not at all: there is one way to write each name.
        if ("%" in written and quote(database, safe="") != written) or not database.isprintable():
            raise ValueError
        return cls(
            unquote(parts.username),
            unquote(parts.password),
            parts.hostname,
            parts.port or 5432,
            database,
            tls,
        )
