"""``python -m bench [all|api|store|watch|memory|scheduler|kubelet|proxy|dns|network|hosts|scale]``."""

from __future__ import annotations

import importlib
import sys

import uvloop

from bench.report import Report

GROUPS = ("api", "store", "watch", "scheduler", "kubelet", "proxy", "dns", "network", "hosts", "scale", "memory")


def main() -> None:
    chosen = sys.argv[1] if len(sys.argv) > 1 else "all"
    groups = GROUPS if chosen == "all" else (chosen,)
    if unknown := [group for group in groups if group not in GROUPS]:
        raise SystemExit(f"no group {unknown[0]!r}: one of all, {', '.join(GROUPS)}")
    report = Report(chosen)
    for group in groups:
        uvloop.run(importlib.import_module(f"bench.{group}").run(report))
    print(f"written to {report.write()}")


if __name__ == "__main__":
    main()
