"""Structured logging on the standard library: one line a message, ``key=value`` pairs after it."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO


class Logger:
    """A named logger whose methods take the message and its fields: ``log.info("pod started", pod="ns/name")``."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def enabled_for(self, level: int) -> bool:
        return self._logger.isEnabledFor(level)

    def debug(self, message: str, **fields: Any) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug(message, extra={"fields": fields})

    def info(self, message: str, **fields: Any) -> None:
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info(message, extra={"fields": fields})

    def warning(self, message: str, **fields: Any) -> None:
        self._logger.warning(message, extra={"fields": fields})

    def error(self, message: str, **fields: Any) -> None:
        self._logger.error(message, extra={"fields": fields})

    def exception(self, message: str, **fields: Any) -> None:
        """An error with the traceback of the exception being handled."""
        self._logger.error(message, extra={"fields": fields}, exc_info=True)


def get_logger(name: str) -> Logger:
    """The logger of a module: ``get_logger(__name__)``."""
    return Logger(logging.getLogger(name))


class LineFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z INFO tiphys.kubelet: pod started pod="ns/name"``."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = getattr(record, "fields", {})
        pairs = "".join(f" {key}={_shown(value)}" for key, value in fields.items())
        line = f"{moment}.{int(record.msecs):03d}Z {record.levelname} {record.name}: {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value) if isinstance(value, int | bool) or value is None else f'"{value}"'


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (default stderr) at `level`; replaces what was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
