"""A bad day on three hosts with three control planes: faults one after another, load all the time, and the accounts.

    python scripts/bad_day.py [--minutes 10]

Prints for each fault the requests that failed, the longest time without an answer, and the time until all was well; at
the end how many acknowledged writes are lost. Exits 1 when something did not converge or a write was lost. Needs root.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.bad_day.day import Chapter, Record, live
from tests.e2e.bad_day.faults import FAULTS
from tests.e2e.bad_day.place import Place
from tests.e2e.cluster import missing_for_real_containers
from tests.e2e.mission.conftest import running

RANGES = 12
"""Which of the tests' ranges of addresses this takes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for how long, at least each fault once")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be repeated")
    options = parser.parse_args()
    if reason := missing_for_real_containers():
        print(f"no bad day here: {reason}", file=sys.stderr)
        return 1
    with running(RANGES, "--nodes", "3", "--control-planes", "3", "--etcd-members", "3") as cluster:
        place = Place(cluster)
        place.prepare()
        record = live(place, options.minutes, tell, options.fault or FAULTS)
    return conclude(record)


def tell(chapter: Chapter) -> None:
    """Print one fault's accounts."""
    if chapter.converged_seconds is None:
        end = f"NOT WELL AGAIN: {chapter.trouble}"
    else:
        end = f"lasted {chapter.lasted_seconds:.1f} s, all well {chapter.converged_seconds:.1f} s later"
    print(f"{chapter.fault}: {end}")
    for way, failed in chapter.failed.items():
        print(f"    {way}: {failed} failed, longest outage {chapter.longest_outage_seconds[way]:.1f} s", flush=True)


def conclude(record: Record) -> int:
    """Print the day's accounts; the exit code."""
    print("the day:")
    for way, count in record.requests.items():
        print(f"    {way}: {count} requests, {record.failed[way]} failed")
    print(f"    acknowledged writes: {record.acknowledged}, lost: {len(record.lost)} {' '.join(record.lost[:10])}")
    print(f"    {'everything converged' if record.converged else 'NOT everything converged'}")
    return 0 if record.converged and not record.lost else 1


if __name__ == "__main__":
    sys.exit(main())
