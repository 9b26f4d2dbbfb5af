"""The rows: what was measured, what upstream does on this kind of machine, what we want at least."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure. `upstream` and `goal` are None where the design page has none."""

    name: str
    figure: float
    unit: str
    upstream: float | None = None
    goal: float | None = None
    less_is_better: bool = False

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.figure <= self.goal if self.less_is_better else self.figure >= self.goal

    def line(self) -> str:
        """The row as people and programs read it: it ends in the figure, without separators, and the unit."""
        beside = [f"upstream {_number(self.upstream)}"] if self.upstream is not None else []
        beside += [f"goal {_number(self.goal)}"] if self.goal is not None else []
        if self.met is False:
            beside.append("SHORT OF THE GOAL")
        words = f" ({', '.join(beside)})" if beside else ""
        return f"{self.name}{words}: {_number(self.figure)} {self.unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass
class Report:
    """Collects rows, prints each at once, and writes them all as JSON."""

    group: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(row.line(), flush=True)

    def skip(self, name: str, reason: str) -> None:
        """A row that cannot be measured here, by name and with the reason."""
        self.skipped.append(f"{name}: {reason}")
        print(f"{name}: skipped ({reason})", flush=True)

    def write(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self.group}.json"
        machine: dict[str, object] = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "kernel": platform.release(),
        }
        machine["load_average"] = os.getloadavg()
        document = {"machine": machine, "rows": [asdict(row) for row in self.rows], "skipped": self.skipped}
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path
