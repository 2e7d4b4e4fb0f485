"""What a sandbox knows, in one SQLite file that survives kill -9, or in memory.

Documents by kind and id, in the order of their birth; `parent` is what they are asked for by (the intent of a charge).
Writing is synchronous and takes microseconds: the loop is not left between the first write of a request and its commit.
"""

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_TABLES = """
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    parent TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
);
CREATE INDEX IF NOT EXISTS documents_by_parent ON documents (kind, parent, seq);
"""


class Storage:
    """Documents in SQLite. One process writes; the file is left whole whenever that process dies."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        # Tests and the dev process look in from another thread than the one that serves.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of the block's writes or none. Not to be nested, nor awaited in."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def put(self, kind: str, id: str, body: Json, parent: str = "") -> None:
        """Insert, or replace in place."""
        self._connection.execute(
            "INSERT INTO documents (kind, id, parent, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET parent = excluded.parent, body = excluded.body",
            (kind, id, parent, json.dumps(body)),
        )

    def get(self, kind: str, id: str) -> Json | None:
        """The document, None when there is none."""
        row = self._connection.execute("SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str, parent: str | None = None) -> list[Json]:
        """Documents of a kind, of one parent where it is given, oldest first."""
        if parent is None:
            rows = self._connection.execute("SELECT body FROM documents WHERE kind = ? ORDER BY seq", (kind,))
        else:
            sql = "SELECT body FROM documents WHERE kind = ? AND parent = ? ORDER BY seq"
            rows = self._connection.execute(sql, (kind, parent))
        return [json.loads(body) for (body,) in rows]

    def count(self, kind: str, parent: str) -> int:
        """How many documents `all` would give."""
        sql = "SELECT count(*) FROM documents WHERE kind = ? AND parent = ?"
        return self._connection.execute(sql, (kind, parent)).fetchone()[0]


def derived(prefix: str, *cause: str) -> str:
    """The one id that `cause` can have, in Stripe's manner: "pi_3f…". The same story makes the same ids twice."""
    return f"{prefix}_{sha256('/'.join((prefix, *cause)).encode()).hexdigest()[:24]}"
