"""The scheduler's configuration file: KubeSchedulerConfiguration v1 of kubescheduler.config.k8s.io.

What may enter: its shape, what may be wrong with it, and the profiles it means. No I/O but what the caller reads.
"""

from tiphys.scheduler.configuration.build import profile_makers, scheduler_config
from tiphys.scheduler.configuration.notices import notices
from tiphys.scheduler.configuration.reading import ConfigurationError, Read, read
from tiphys.scheduler.configuration.types import KubeSchedulerConfiguration
from tiphys.scheduler.configuration.writing import dump

__all__ = [
    "ConfigurationError",
    "KubeSchedulerConfiguration",
    "Read",
    "dump",
    "notices",
    "profile_makers",
    "read",
    "scheduler_config",
]
