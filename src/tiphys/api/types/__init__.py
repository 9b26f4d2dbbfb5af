"""Generated msgspec Structs, one module per API group and version (`core_v1`, `apps_v1` …).

What may enter: `model.py` and what scripts/generate_api_types.py writes. Wire names are camelCase, attributes snake_case.
"""
