"""One folder per controller: reconcile.py (a pure decision) and controller.py (the shell that performs it).

What may enter: control loops that meet other components only through the API.
"""
