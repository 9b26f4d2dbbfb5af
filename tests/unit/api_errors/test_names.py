"""Names of every shape, and the schedules and quoting that messages depend on."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tiphys.api import cron, names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns_label, ["a", "a-1", "1"], ["", "-a", "a.b", "A", "a" * 64, "a\n"]),
        (names.dns_subdomain, ["a", "a.b-c.1"], ["", "a..b", ".a", "A.b", "a" * 254, "a\n"]),
        (names.dns_1035_label, ["a", "a-1"], ["1a", "", "a.b"]),
        (names.qualified_name, ["a", "A_b.c", "example.com/x"], ["", "/a", "a/", "a/b/c", "-a", "Ex.com/a", "x" * 64]),
        (names.label_value, ["", "a", "A.b_c-1"], ["-a", "a b", "a" * 64]),
        (names.path_segment, ["a", "system:x", "A B"], [".", "..", "a/b", "a%b"]),
        (names.config_key, ["a", ".a", "A_b-c.d"], ["", ".", "..", "..a", "a/b", "a" * 254]),
        (names.environment_name, ["A", "a.b", "1a-b", "a b"], ["", "a=b", "é", "a\n"]),
        (names.port_name, ["http", "a-1", "80a"], ["", "80", "a--b", "-a", "a" * 16, "A"]),
        (names.percent, ["0%", "150%"], ["5", "%", "-5%", "5.5%"]),
        (names.wildcard_subdomain, ["*.a", "*.a.b"], ["*", "a.*", "*.*.a"]),
        (names.fully_qualified_name, ["a.b.c"], ["a.b", "a"]),
        (names.domain_prefixed_path, ["a.b/c", "a/b/c"], ["", "a", "/b", "a/", "A/b"]),
        (names.http_header, ["X-A"], ["", "a b", "a:"]),
        (names.c_identifier, ["_a1"], ["1a", "a-b"]),
    ],
)
def test_names(check: Callable[[str], tuple[str, ...]], good: list[str], bad: list[str]) -> None:
    assert [text for text in good if check(text)] == []
    assert [text for text in bad if not check(text)] == []


@pytest.mark.parametrize(("prefix", "checked"), [("web-", "wea"), ("web", "web"), ("-", "-"), ("a.-", "aa")])
def test_prefixes_are_checked_without_their_dash(prefix: str, checked: str) -> None:
    assert names.as_prefix(prefix) == checked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("* *", "expected exactly 5 fields, found 2: [* *]"),
        ("@often", "unrecognized descriptor: @often"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
    ],
)
def test_schedules_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cron.parse(text)


def test_schedules() -> None:
    schedule = cron.parse("*/20 9-10 1 jan,mar MON")
    assert schedule.minutes == {0, 20, 40}
    assert (schedule.hours, schedule.months, schedule.weekdays) == ({9, 10}, {1, 3}, {1})
    assert schedule.either_day
    assert not cron.parse("@hourly").either_day
    assert cron.parse("@every 1h30m").every_seconds == 5400
