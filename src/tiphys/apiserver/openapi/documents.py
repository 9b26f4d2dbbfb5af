"""The OpenAPI documents: version 2 for the whole server, version 3 a group version each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.api import facts
from tiphys.api.scheme import Resource
from tiphys.apiserver.openapi import operations, paths, schemas
from tiphys.apiserver.openapi.operations import Operation
from tiphys.apiserver.openapi.schemas import Descriptions

Document = dict[str, Any]
_UNAUTHORIZED: Final = {"401": {"description": "Unauthorized"}}
_TEXT: Final = {"type": "string"}


def version_2(resources: Sequence[Resource], title_version: str, custom: Mapping[str, Any] | None = None) -> Document:
    """``/openapi/v2``. custom: schemas of custom resources, by their definition's name."""
    found = [operation for group in paths.general(r.group for r in resources).values() for operation in group]
    found += _of_resources(resources)
    descriptions = Descriptions()
    groups = frozenset(resource.group for resource in resources)
    names = schemas.needed(_roots(resources, found))
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": title_version},
        "paths": _paths(found, _operation_2, _parameters_2),
        "definitions": {name: schemas.definition(name, descriptions, groups, version=2) for name in names}
        | {paths.INFO: paths.version_info()}
        | _custom(resources, custom, version=2),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def version_3(resources: Sequence[Resource], title_version: str, custom: Mapping[str, Any] | None = None) -> Document:
    """``/openapi/v3/…``: the resources of one group version; `custom` as in `version_2`."""
    found = _of_resources(resources)
    descriptions = Descriptions()
    groups = frozenset(resource.group for resource in resources)
    names = schemas.needed(_roots(resources, found))
    known = {name: schemas.definition(name, descriptions, groups, version=3) for name in names}
    return _document_3(found, known | _custom(resources, custom, version=3), title_version)


def general_version_3(found: Sequence[Operation], title_version: str) -> Document:
    """``/openapi/v3/…`` for what belongs to no group version."""
    descriptions = Descriptions()
    names = schemas.needed({operation.answer for operation in found})
    known: Document = {name: schemas.definition(name, descriptions, frozenset(), version=3) for name in names}
    if any(operation.answer == paths.INFO for operation in found):
        known[paths.INFO] = paths.version_info()
    return _document_3(found, known, title_version)


def _document_3(found: Iterable[Operation], known: Document, title_version: str) -> Document:
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": title_version},
        "paths": _paths(found, _operation_3, _parameters_3),
        "components": {"schemas": known, "securitySchemes": {"BearerToken": _BEARER}},
    }


def _of_resources(resources: Sequence[Resource]) -> list[Operation]:
    listing = [paths.of_version(resource) for resource in _first_of_versions(resources)]
    return [*listing, *(operation for resource in resources for operation in operations.of_resource(resource))]


def _first_of_versions(resources: Sequence[Resource]) -> Iterable[Resource]:
    return {(resource.group, resource.version): resource for resource in resources}.values()


_BEARER: Final = {
    "description": "Bearer Token authentication",
    "type": "apiKey",
    "name": "authorization",
    "in": "header",
}


def _roots(resources: Iterable[Resource], found: Iterable[Operation]) -> set[str]:
    names = {operations.STATUS, operations.DELETE_OPTIONS, operations.PATCH, f"{operations.META}.WatchEvent"}
    for resource in resources:
        names |= {resource.definition, f"{resource.definition}List"}
    for operation in found:
        names |= {operation.body, operation.answer}
    if any(resource.definition not in facts.definitions() for resource in resources):
        names |= {f"{operations.META}.ObjectMeta", f"{operations.META}.ListMeta"}
    return names - {""}


def _custom(resources: Iterable[Resource], custom: Mapping[str, Any] | None, *, version: int) -> Document:
    """The definitions of custom resources and their lists."""
    found: Document = {}
    for resource in resources:
        schema = (custom or {}).get(resource.definition)
        if schema is not None:
            found |= schemas.custom_definitions(resource, schema, version=version)
    return found


def _paths(found: Iterable[Operation], render: Any, parameters: Any) -> Document:
    listed: Document = {}
    for operation in found:
        entry = listed.get(operation.path)
        if entry is None:
            entry = listed[operation.path] = {}
            shared = parameters(operation.path)
            if shared:
                entry["parameters"] = shared
        entry[operation.method] = render(operation)
    return listed


def _known(name: str) -> bool:
    return name in facts.definitions() or name == paths.INFO


def _head(operation: Operation) -> Document:
    head: Document = {"tags": [operation.tag], "operationId": operation.operation_id}
    if operation.action:
        head |= {"x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": operation.kind}
    return head


def _parameters_2(path: str) -> list[Document]:
    return [
        {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True, "description": text}
        for name, text in operations.path_parameters(path)
    ]


def _operation_2(operation: Operation) -> Document:
    parameters: list[Document] = []
    if operation.body:
        schema = {"$ref": f"#/definitions/{operation.body}"} if _known(operation.body) else {"type": "object"}
        required = operation.body != operations.DELETE_OPTIONS
        parameters.append({"name": "body", "in": "body", "schema": schema, "required": required})
    for name in operation.parameters:
        kind, text = operations.PARAMETERS[name]
        parameters.append({"name": name, "in": "query", "type": kind, "uniqueItems": True, "description": text})
    answer: Document = {"description": "OK", "schema": _TEXT}
    if _known(operation.answer):
        answer = {"description": "OK", "schema": {"$ref": f"#/definitions/{operation.answer}"}}
    consumes = operations.consumed(operation)
    return {
        **_head(operation),
        "consumes": list(consumes),
        "produces": list(operations.media_types(operation)) if operation.answer else ["*/*"],
        "schemes": ["https"],
        "parameters": parameters,
        "responses": dict.fromkeys(operations.codes(operation), answer) | _UNAUTHORIZED,
    }


def _parameters_3(path: str) -> list[Document]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": text}
        for name, text in operations.path_parameters(path)
    ]


def _operation_3(operation: Operation) -> Document:
    parameters: list[Document] = []
    for name in operation.parameters:
        kind, text = operations.PARAMETERS[name]
        parameters.append({"name": name, "in": "query", "schema": {"type": kind}, "description": text})
    rendered = {**_head(operation), "parameters": parameters}
    if operation.body:
        schema = {"$ref": f"#/components/schemas/{operation.body}"} if _known(operation.body) else {"type": "object"}
        types = operations.consumed(operation)
        rendered["requestBody"] = {"content": {media_type: {"schema": schema} for media_type in types}}
        if operation.body != operations.DELETE_OPTIONS:
            rendered["requestBody"]["required"] = True
    content: Document = {"*/*": {"schema": _TEXT}}
    if _known(operation.answer):
        reference = {"schema": {"$ref": f"#/components/schemas/{operation.answer}"}}
        content = dict.fromkeys(operations.media_types(operation), reference)
    answer = {"description": "OK", "content": content}
    rendered["responses"] = dict.fromkeys(operations.codes(operation), answer) | _UNAUTHORIZED
    return rendered
