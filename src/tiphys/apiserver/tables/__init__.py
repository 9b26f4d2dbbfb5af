"""What `kubectl get` shows: each kind's columns, and objects as rows of cells.

What may enter: printers (pure functions from an object and the time to cells) and the Table's encoding.
"""

from tiphys.apiserver.tables.printers import Column, define, printer_of
from tiphys.apiserver.tables.render import list_parts, render_event, render_list, render_object

__all__ = ["Column", "define", "list_parts", "printer_of", "render_event", "render_list", "render_object"]
