"""The scheduler's settings: from a KubeSchedulerConfiguration, with the plugins that are installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.base.logging import get_logger
from tiphys.cmd.config import ConfigError
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.configuration import ConfigurationError, dump, notices, read, scheduler_config
from tiphys.scheduler.configuration.types import API_VERSION, KIND, ClientConnection, LeaderElection
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.extenders.transport import tls_context
from tiphys.scheduler.plugin_loading import registry

_DEFAULTS = f"apiVersion: {API_VERSION}\nkind: {KIND}\n"
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration file says to the process that runs the scheduler."""

    scheduler: SchedulerConfig
    election: LeaderElection
    connection: ClientConnection
    notices: tuple[str, ...] = ()
    """What the file says that changes nothing here."""

    def tell(self) -> None:
        """Log the notices: once, where the scheduler starts."""
        for notice in self.notices:
            _logger.warning("configuration", field=notice)

    def election_fields(self) -> dict[str, Any]:
        """For an ElectionConfig, all but the identity."""
        election = self.election
        return {
            "name": election.resource_name,
            "namespace": election.resource_namespace,
            "lease_duration_seconds": seconds(election.lease_duration) or 15.0,
            "renew_deadline_seconds": seconds(election.renew_deadline) or 10.0,
            "retry_period_seconds": seconds(election.retry_period) or 2.0,
        }


def settings(text: str, *, host: str, flag: str = "--config") -> Settings:
    """`text` is the file's; "" for upstream's defaults. Raises ConfigError with all that is wrong."""
    if not text:
        return Settings(SchedulerConfig(host=host), LeaderElection(), ClientConnection())
    try:
        known = registry()
        said = read(text, known)
        made = scheduler_config(said, known, host=host)
        _check_tls(made)
    except ConfigurationError as error:
        raise ConfigError(f"{flag}: {error}") from error
    whole = said.configuration
    return Settings(made, whole.leader_election, whole.client_connection, notices(said, known))


def _check_tls(config: SchedulerConfig) -> None:
    """Whether the files that extenders are to be reached with can be used. Raises ConfigurationError."""
    for index, extender in enumerate(config.extenders):
        try:
            tls_context(extender)
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"extenders[{index}].tlsConfig: {error}"]) from error


def written_out(text: str) -> str:
    """The same configuration with all that `text` leaves to the defaults. Raises ConfigError."""
    try:
        known = registry()
        return dump(read(text or _DEFAULTS, known), known)
    except ConfigurationError as error:
        raise ConfigError(f"--config: {error}") from error


def text_of(flag: str, path: Path | None) -> str:
    """A configuration file's text after a look whether it can be used; "" for no file. Raises ConfigError."""
    if path is None:
        return ""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{flag}: {error}") from None
    if not text.strip():
        # Not to be taken for no file, which means the defaults.
        raise ConfigError(f"{flag}: the file holds no {KIND}")
    settings(text, host="", flag=flag)
    return text
