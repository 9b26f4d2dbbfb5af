"""Helm without its binary: `helm.py KUBECONFIG NAMESPACE VERB RELEASE [CHART VALUES]`, in the operators' environment.

Prints the release as JSON. It is a program and not imported by tests: Helm's library lives in another environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python  # type: ignore[import-not-found, unused-ignore]


def main(kubeconfig: str, namespace: str, verb: str, release: str, *arguments: str) -> Any:
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
        if verb in ("install", "upgrade"):
            chart, values = arguments
            return getattr(config, verb)(chart, release, json.loads(values), wait="watcher", timeout=60)
        if verb == "rollback":
            return config.rollback(release, version=int(arguments[0]), wait="watcher", timeout=60)
        return getattr(config, verb)(release)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
