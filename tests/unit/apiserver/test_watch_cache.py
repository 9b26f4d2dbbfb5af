"""The cache on its own: order, indexes, history."""

from __future__ import annotations

import json

import pytest

from tiphys.api.scheme import by_path
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent, History
from tiphys.apiserver.watch_cache.objects import CachedObject


def cache_of(plural: str) -> ResourceCache:
    resource = by_path("", "v1", plural)
    assert resource is not None
    return ResourceCache(resource, f"/registry/core/{plural}/", lambda: 0.0)


def value(key: str, revision: int, **labels: str) -> bytes:
    namespace, _, name = key.rpartition("/")
    meta = {"name": name, "namespace": namespace, "resourceVersion": str(revision), "labels": labels}
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"nodeName": labels.get("node")}}
    return json.dumps(obj, separators=(",", ":")).encode()


def put(cache: ResourceCache, key: str, revision: int, **labels: str) -> None:
    cache.apply(key, value(key, revision, **labels), revision)


def keys(cache: ResourceCache, filter_: Filter, after: str = "") -> list[str]:
    return [obj.key for obj in cache.select(filter_, after)]


def test_objects_are_in_key_order_and_namespaces_apart() -> None:
    cache = cache_of("pods")
    for revision, key in enumerate(("b/x", "a/y", "a-b/z", "a/x"), 1):
        put(cache, key, revision)
    assert keys(cache, Filter()) == ["a-b/z", "a/x", "a/y", "b/x"]
    assert keys(cache, Filter("a")) == ["a/x", "a/y"]
    assert keys(cache, Filter(), "a/x") == ["a/y", "b/x"]
    assert keys(cache, Filter("a"), "a/x") == ["a/y"]


def test_bytes_are_the_whole_object() -> None:
    cache = cache_of("pods")
    put(cache, "a/x", 7, l="v")
    assert cache.get("a/x") == value("a/x", 7, l="v")
    cached = cache.objects["a/x"]
    assert json.loads(cache.format.deleted(cached, 9))["metadata"]["resourceVersion"] == "9"


def test_encodings_of_another_order_are_accepted() -> None:
    cache = cache_of("pods")
    cache.apply("a/x", b'{"metadata":{"name":"x","resourceVersion":"3"},"apiVersion":"v1","kind":"Pod"}', 3)
    assert json.loads(cache.get("a/x") or b"")["kind"] == "Pod"


def test_pods_are_found_by_node() -> None:
    cache = cache_of("pods")
    put(cache, "a/x", 1, node="n1")
    put(cache, "a/y", 2, node="n2")
    assert keys(cache, Filter(trigger="n1")) == ["a/x"]
    put(cache, "a/x", 3, node="n2")
    assert keys(cache, Filter(trigger="n1")) == [] and keys(cache, Filter(trigger="n2")) == ["a/x", "a/y"]
    cache.apply("a/x", None, 4)
    assert [obj.key for obj in cache.triggered("n2")] == ["a/y"]


def test_equal_labels_are_kept_once() -> None:
    cache = cache_of("pods")
    put(cache, "a/x", 1, l="v")
    put(cache, "a/y", 2, l="v")
    assert cache.objects["a/x"].labels is cache.objects["a/y"].labels


def test_a_deletion_of_what_is_not_there_is_nothing() -> None:
    cache = cache_of("pods")
    cache.apply("a/x", None, 1)
    assert len(cache.history) == 0


def test_a_listener_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_of("pods")
    heard: list[int] = []

    def fail(event: CacheEvent) -> None:
        raise ValueError

    cache.listen(fail)
    cache.listen(lambda event: heard.append(event.revision))
    put(cache, "a/x", 1)
    assert heard == [1] and "a change was not understood" in caplog.text


def event(revision: int, seconds: float = 0.0) -> CacheEvent:
    return CacheEvent(revision, CachedObject("k", b"", revision, {}, ""), None, seconds)


def test_history_resumes_where_it_can() -> None:
    history = History(5)
    for revision in (6, 8, 9):
        history.append(event(revision))
    assert history.after(4) is None
    assert [e.revision for e in history.after(5) or ()] == [6, 8, 9]
    assert [e.revision for e in history.after(7) or ()] == [8, 9]
    assert history.after(9) == [] and history.last_revision == 9


@pytest.mark.parametrize(("seconds", "kept"), [(10.0, 300), (200.0, 100)])
def test_history_keeps_what_is_fresh_and_a_hundred(seconds: float, kept: int) -> None:
    history = History(0)
    for revision in range(1, 300):
        history.append(event(revision, 0.0))
    history.append(event(300, seconds))
    assert len(history) == kept and history.complete_after == 300 - kept
