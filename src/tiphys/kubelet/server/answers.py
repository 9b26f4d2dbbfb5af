"""Refusals of the node server."""

from __future__ import annotations

from tiphys.base.http.messages import Response


class Refused(Exception):
    """The request cannot be served; the text is shown to the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> Response:
        return plain(self.message, self.status)


def plain(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), "text/plain; charset=utf-8")
