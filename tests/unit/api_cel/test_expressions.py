"""Expressions and what they come to, one a row."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import cel

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "f": {"type": "number"},
        "s": {"type": "string"},
        "b": {"type": "boolean"},
        "xs": {"type": "array", "items": {"type": "integer"}},
        "names": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "port": {"x-kubernetes-int-or-string": True},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "namespace": {"type": "string"},
        "a.b": {"type": "string"},
        "a-b": {"type": "string"},
        "a__b": {"type": "string"},
        "1st": {"type": "string"},
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "lists": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "absent": {"type": "object", "properties": {"x": {"type": "integer"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DATA: dict[str, Any] = {
    "metadata": {"name": "gear"},
    "n": 3,
    "f": 2,
    "s": "héllo",
    "b": True,
    "xs": [3, 1, 2],
    "names": ["b", "a"],
    "labels": {"k": "v", "k/2": "w"},
    "port": "80%",
    "at": "2024-02-29T12:00:00Z",
    "day": "2024-02-29",
    "wait": "1h30m",
    "raw": "aGk=",
    "namespace": "ns",
    "a.b": "dot",
    "a-b": "dash",
    "a__b": "under",
    "grid": [[1, 2], [3]],
    "lists": {"l": ["x"]},
    "items": [{"name": "one"}, {"name": "two"}],
    "free": {"unknown": 1},
}

VALUES: dict[str, Any] = {
    # CEL itself
    "1 + 2 * 3": 7,
    "7 / 2": 3,
    "-7 / 2": -3,
    "-7 % 2": -1,
    "7.0 / 2.0": 3.5,
    "1u + 2u": 3,
    "'a' + 'b'": "ab",
    "[1] + [2]": [1, 2],
    "1 < 2 && 'a' < 'b' && false == !true": True,
    "1 < 2.5": True,
    "self.n >= 2.5": True,
    "true ? 1 : 2": 1,
    "1 in [1, 2] && !(3 in [1, 2])": True,
    "'k' in self.labels": True,
    "size('héllo')": 5,
    "self.s.size()": 5,
    "{'a': 1}.a": 1,
    "{'a': 1}['a']": 1,
    "type(1) == int": True,
    "string(1) + string(true) + string(1.5)": "1true1.5",
    "int('12') + int(1.9)": 13,
    "double('1.5')": 1.5,
    "b'abc'.size()": 3,
    "dyn(1) == 1": True,
    "false && (1 / 0 == 1)": False,
    "true || (1 / 0 == 1)": True,
    "(1 / 0 == 1) && false": False,
    # macros
    "has(self.n) && !has(self.absent)": True,
    "self.xs.all(x, x > 0)": True,
    "self.xs.exists(x, x == 2)": True,
    "self.xs.exists_one(x, x > 2)": True,
    "self.xs.map(x, x * 2)": [6, 2, 4],
    "self.xs.map(x, x > 1, x)": [3, 2],
    "self.xs.filter(x, x > 1)": [3, 2],
    "self.labels.all(k, self.labels[k].size() == 1)": True,
    "self.items.map(i, i.name).join(',')": "one,two",
    "self.items.exists(i, i.name == 'two')": True,
    # optionals
    "self.?absent.?x.orValue(7)": 7,
    "self.?n.orValue(7)": 3,
    "self.labels[?'zz'].hasValue()": False,
    "self.?n.optMap(n, n + 1).value()": 4,
    "optional.none().or(optional.of(1)).value()": 1,
    "[1, ?self.?absent.?x].size()": 1,
    # the schema's types
    "self.metadata.name": "gear",
    "self.f": 2.0,
    "type(self.f) == double": True,
    "self.at.getFullYear() == 2024 && self.at.getMonth() == 1": True,
    "self.day == timestamp('2024-02-29T00:00:00Z')": True,
    "self.wait == duration('90m')": True,
    "self.at + self.wait > self.at": True,
    "string(self.raw)": "hi",
    "self.__namespace__": "ns",
    "self.a__dot__b": "dot",
    "self.a__dash__b": "dash",
    "self.a__underscores__b": "under",
    "type(self.port) == string && self.port.matches('^[0-9]+%$')": True,
    "self.grid[0][1]": 2,
    "self.grid.all(row, row.all(cell, cell > 0))": True,
    "self.lists['l'][0]": "x",
    # texts
    "'abc'.charAt(1)": "b",
    "'a,b'.split(',')": ["a", "b"],
    "'aXbX'.replace('X', '-')": "a-b-",
    "' a '.trim()": "a",
    "'aB'.lowerAscii() + 'aB'.upperAscii()": "abAB",
    "'hello'.substring(1, 3)": "el",
    "'hello'.indexOf('l') + 'hello'.lastIndexOf('l')": 5,
    "'%s is %d'.format(['n', self.n].map(x, dyn(x)))": None,
    "'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b')": True,
    "'abc 123'.find('[0-9]+')": "123",
    "'1 22 333'.findAll('[0-9]+')": ["1", "22", "333"],
    "'1 22 333'.findAll('[0-9]+', 2)": ["1", "22"],
    "'abc'.find('z')": "",
    # lists
    "self.xs.sum()": 6,
    "self.xs.min() + self.xs.max()": 4,
    "[1.5, 0.5].sum()": 2.0,
    "self.xs.isSorted()": False,
    "['a', 'b'].isSorted()": True,
    "self.xs.indexOf(1) * 10 + [1, 2, 1].lastIndexOf(1)": 12,
    "self.xs.indexOf(9)": -1,
    "[1, 1, 2].distinct()": [1, 2],
    "self.xs.sort()": [1, 2, 3],
    "[1, 2, 3].slice(1, 3)": [2, 3],
    "[[1], [2]].flatten()": [1, 2],
    "self.xs.reverse()": [2, 1, 3],
    "lists.range(3)": [0, 1, 2],
    "sets.contains(self.xs, [1, 2])": True,
    "sets.equivalent([1, 2, 1], [2, 1])": True,
    "sets.intersects([1], [2])": False,
    # quantities
    "quantity('1Gi') == quantity('1024Mi')": True,
    "quantity('1Ki') == quantity('1024')": True,
    "quantity('500m').isLessThan(quantity('1'))": True,
    "quantity('1').add(quantity('500m')).sub(1).compareTo(quantity('0.5'))": 0,
    "quantity('2k').asInteger()": 2000,
    "quantity('1.5').isInteger()": False,
    "quantity('-1').sign()": -1,
    "quantity('1.5').asApproximateFloat()": 1.5,
    "isQuantity('1Gi') && !isQuantity('1Xi')": True,
    # addresses
    "ip('192.168.0.1').family() + ip('::1').family()": 10,
    "isIP('1.2.3.4') && !isIP('1.2.3.256') && !isIP('::ffff:1.2.3.4')": True,
    "ip('127.0.0.1').isLoopback() && ip('8.8.8.8').isGlobalUnicast()": True,
    "ip.isCanonical('2001:DB8::1')": False,
    "string(ip('2001:DB8::1'))": "2001:db8::1",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3')": True,
    "cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))": False,
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')": True,
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')": True,
    "cidr('10.1.2.3/8').ip() == ip('10.1.2.3')": True,
    "cidr('10.0.0.0/8').prefixLength()": 8,
    "isCIDR('10.0.0.0/33')": False,
    # URLs
    "url('https://a.com:80/p?q=1').getHost()": "a.com:80",
    "url('https://a.com:80/p?q=1').getHostname() + url('https://[::1]:2/').getHostname()": "a.com::1",
    "url('https://a.com:80/p').getPort() + url('/p').getPort()": "80",
    "url('https://a.com/p%20q').getEscapedPath()": "/p%20q",
    "url('https://a.com/?q=1&q=2').getQuery()['q']": ["1", "2"],
    "url('https://a.com').getScheme()": "https",
    "isURL('not a url')": False,
    # versions
    "semver('1.2.3').isLessThan(semver('1.10.0'))": True,
    "semver('1.0.0-rc.1').compareTo(semver('1.0.0'))": -1,
    "semver('1.2.3').major() * 100 + semver('1.2.3').minor() * 10 + semver('1.2.3').patch()": 123,
    "isSemver('v1.2') || isSemver('01.2.3')": False,
    "isSemver('v1.2', true)": True,
    # formats
    "format.dns1123Label().validate('ok').hasValue()": False,
    "!format.dns1123Label().validate('Not-ok').hasValue()": False,
    "format.dns1123Label().validate('A').value().size()": 1,
    "format.named('uuid').value().validate('nope').value()[0]": "does not match the UUID format",
    "format.named('unknown').hasValue()": False,
    "format.date().validate('2024-02-30').hasValue()": True,
}
VALUES.pop("'%s is %d'.format(['n', self.n].map(x, dyn(x)))")

FAILURES: dict[str, str] = {
    "self.absent.x == 1": "no such key: absent",
    "self.labels['zz'] == ''": "no such key: zz",
    "self.xs[9] == 1": "index out of bounds: 9",
    "1 / (self.n - 3) == 1": "division by zero",
    "1 % (self.n - 3) == 1": "modulus by zero",
    "9223372036854775807 + self.n > 0": "integer overflow",
    "self.port > 3": "no such overload",
    "optional.none().hasValue() || optional.none().value()": "optional.none() dereference",
    "quantity(self.s).sign() == 0": "quantities must match the regular expression",
    "ip(self.s).family() == 4": "parse error",
    "semver(self.s).major() == 1": "is not a semantic version",
    "[1].filter(x, x > 1).min() == 1": "min called on empty list",
    "'a'.find(self.s + '[') == ''": "Illegal regex",
    "int(self.s) == 1": "cannot convert string to int",
}

REFUSED: dict[str, str] = {
    "": "mismatched input '<EOF>'",
    "self.n >": "1:9: Syntax error: mismatched input '<EOF>' expecting",
    "self.nope": "1:5: undefined field 'nope'",
    "self.items.all(i, i.nope == '')": "1:20: undefined field 'nope'",
    "self.metadata.labels": "undefined field 'labels'",
    "self.free.unknown": "undefined field 'unknown'",
    "self.1st": "Syntax error",
    "nope": "1:1: undeclared reference to 'nope' (in container '')",
    "nope.x.y == 1": "1:1: undeclared reference to 'nope' (in container '')",
    "nope(1)": "1:5: undeclared reference to 'nope' (in container '')",
    "self.n + 's'": "1:8: found no matching overload for '_+_' applied to '(int, string)'",
    "self.n == 's'": "found no matching overload for '_==_' applied to '(int, string)'",
    "self.xs.min() == 'a'": "found no matching overload for '_==_' applied to '(int, string)'",
    "self.s.size() + 1u": "found no matching overload",
    "self.n.all(x, true)": "cannot be the range of a comprehension",
    "self['n']": "found no matching overload for '_[_]'",
    "[1, 'a']": "1:5: expected type 'int' but found 'string'",
    "{'a': 1, 'b': 'c'}": "expected type 'int' but found 'string'",
    "'x'.matches('[')": "1:13: invalid matches argument",
    "duration('1 hour') == self.wait": "1:10: invalid duration argument",
    "timestamp('yesterday') == self.at": "1:11: invalid timestamp argument",
    "quantity('1').text": "undefined field 'text'",
    "kubernetes.Quantity{text: '1'}": "undeclared reference",
    "quantity('1').isLessThan(semver('1.0.0'))": "found no matching overload for 'isLessThan'",
    "[optional.of(1)].distinct()": "cannot be applied",
    "[type(1)].indexOf(type(2))": "cannot be applied",
    "self.items.min()": "found no matching overload for 'min'",
    "(" * 100 + "1" + ")" * 100: "recursion",
}


@pytest.fixture(scope="module")
def declared() -> cel.Declared:
    made = cel.declare(SCHEMA, is_root=True)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def environment(declared: cel.Declared) -> cel.Environment:
    return cel.Environment({"self": declared, "oldSelf": declared})


def evaluated(environment: cel.Environment, declared: cel.Declared, text: str) -> Any:
    return environment.compile(text).evaluate({"self": cel.expose(declared, DATA)})


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=VALUES)
def test_values(environment: cel.Environment, declared: cel.Declared, text: str, value: Any) -> None:
    assert evaluated(environment, declared, text) == value


@pytest.mark.parametrize(("text", "words"), FAILURES.items(), ids=FAILURES)
def test_failures(environment: cel.Environment, declared: cel.Declared, text: str, words: str) -> None:
    with pytest.raises(cel.EvaluationError) as failure:
        evaluated(environment, declared, text)
    assert words in str(failure.value)


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=[text[:40] or "empty" for text in REFUSED])
def test_refused(environment: cel.Environment, text: str, words: str) -> None:
    with pytest.raises(cel.CompileError) as failure:
        environment.compile(text)
    assert words in str(failure.value)


def test_an_optional_variable_is_there_or_not(declared: cel.Declared) -> None:
    environment = cel.Environment({"self": declared}, previous=declared)
    data = cel.expose(declared, DATA)
    program = environment.compile("oldSelf.hasValue() ? oldSelf.value().n : -1")
    assert program.evaluate({"self": data}) == -1
    assert program.evaluate({"self": data, "oldSelf": data}) == 3
    assert "oldSelf" in program.variables
    assert "oldSelf" not in environment.compile("self.s != 'oldSelf'").variables
    with pytest.raises(cel.CompileError) as failure:
        environment.compile("oldSelf + 1 == 2")
    assert " | oldSelf + 1 == 2\n | ........^" in str(failure.value)


def test_loops_end(environment: cel.Environment, declared: cel.Declared) -> None:
    text = "lists.range(10000).all(x, lists.range(10000).all(y, lists.range(10000).all(z, true)))"
    with pytest.raises(cel.CostExceeded):
        evaluated(environment, declared, text)


def test_only_what_is_declared_is_seen(declared: cel.Declared) -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    seen = cel.expose(declared, {"free": deep, "port": deep, "n": 1})
    assert seen == {"free": {}, "port": None, "n": 1}
