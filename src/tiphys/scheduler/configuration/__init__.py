"""The scheduler's configuration file: KubeSchedulerConfiguration v1 of kubescheduler.config.k8s.io.

What may enter: its shape, what may be wrong with it, and the profiles it means. No I/O but what the caller reads.
"""

from tiphys.scheduler.configuration.build import profile_makers, scheduler_config
from tiphys.scheduler.configuration.reading import ConfigurationError, read
from tiphys.scheduler.configuration.types import KubeSchedulerConfiguration

__all__ = ["ConfigurationError", "KubeSchedulerConfiguration", "profile_makers", "read", "scheduler_config"]
