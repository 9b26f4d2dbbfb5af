"""What a volume is once it is in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """Where it is on the host, and whether containers may only read it. `device`: a block device, not a folder."""

    path: Path
    read_only: bool = False
    device: bool = False
