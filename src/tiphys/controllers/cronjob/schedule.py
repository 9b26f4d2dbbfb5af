"""When a schedule is due. Pure: times are seconds since the epoch, the zone is an argument.

Days and hours are those of the zone's wall clock; hours are passed through one after the other, so that what is due in
an hour that a change of summer time skips is not started, and in one that comes twice, twice: as upstream.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from tiphys.api.cron import Schedule

#: A schedule that is not due within five years (the 30th of February) never is.
_HORIZON_SECONDS: Final = 5 * 366 * 86400.0
#: Above so many missed starts upstream warns, since the deadline or a clock may be wrong.
MANY_MISSED: Final = 100


class Due(NamedTuple):
    """The latest time at which a Job should have been started, and how many such times have gone by."""

    time: float
    missed: int


def next_after(schedule: Schedule, time: float, zone: tzinfo) -> float | None:
    """The first time after `time` at which the schedule is due; None for never."""
    if schedule.every_seconds:
        return math.floor(time) + float(schedule.every_seconds)
    moment = (math.floor(time) // 60 + 1) * 60.0
    end = moment + _HORIZON_SECONDS
    while moment < end:
        local = datetime.fromtimestamp(moment, zone)
        if local.month not in schedule.months:
            moment = _midnight(local, moment, _to_next_month(local))
        elif not _is_day(schedule, local):
            moment = _midnight(local, moment, local + timedelta(days=1))
        elif local.hour not in schedule.hours:
            moment += 3600.0 - local.minute * 60.0
        elif local.minute not in schedule.minutes:
            moment += 60.0
        else:
            return moment
    return None


def due(schedule: Schedule, since: float, now: float, zone: tzinfo) -> Due | None:
    """The latest time in (since, now] at which the schedule was due; None if there is none."""
    first = next_after(schedule, since, zone)
    if first is None or first > now:
        return None
    latest, count = first, 1
    while True:
        following = next_after(schedule, latest, zone)
        if following is None or following > now:
            return Due(latest, count)
        # Of a schedule that ran every minute for a year the last minutes are enough; the number is an estimate then.
        if count > MANY_MISSED:
            step = following - latest
            skipped = max(0, int((now - following) // step) - 2)
            later = next_after(schedule, following + skipped * step - 1.0, zone) if skipped else following
            following = later if later is not None and later <= now else following
            count += skipped
        latest, count = following, count + 1


def _is_day(schedule: Schedule, local: datetime) -> bool:
    of_month = local.day in schedule.days
    of_week = (local.weekday() + 1) % 7 in schedule.weekdays
    return (of_month or of_week) if schedule.either_day else (of_month and of_week)


def _to_next_month(local: datetime) -> datetime:
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return local.replace(year=year, month=month, day=1)


def _midnight(local: datetime, moment: float, day: datetime) -> float:
    """The start of `day`; always later than `moment`, whatever the zone's clocks do at midnight."""
    start = day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp()
    return start if start > moment else moment + 3600.0 - local.minute * 60.0
