"""Bearer tokens from a file: lines of ``token,user,uid,"group1,group2"``, as upstream's ``--token-auth-file``."""

from __future__ import annotations

import csv
from pathlib import Path

from tiphys.apiserver.authentication.user import User, authenticated


def load(path: Path) -> dict[str, User]:
    """Users by token. Raises OSError, or ValueError naming the line that is malformed."""
    with path.open(newline="", encoding="utf-8") as file:
        return parse(file.read(), str(path))


def parse(text: str, where: str = "token file") -> dict[str, User]:
    """Users by token; lines starting with # and empty ones are skipped."""
    users: dict[str, User] = {}
    for number, row in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3 or not row[0] or not row[1]:
            raise ValueError(f"{where}:{number}: expected token,user,uid and perhaps groups")
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        users[row[0]] = User(row[1].strip(), row[2].strip(), authenticated(groups))
    return users
