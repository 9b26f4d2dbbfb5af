"""One folder per controller: reconcile.py (a pure decision) and controller.py (the shell that performs it).

What may enter: control loops that meet other components only through the API, and beside the folders what several of
them need: `runtime` (queue and workers), `pod_owner` (owners of pods), `pods`, `conditions`, `history` (facts, pure).
Start at `manager`. docs/controllers.md is the guide.
"""
