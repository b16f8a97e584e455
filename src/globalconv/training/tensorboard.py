"""TensorBoard, where it is installed (`pip install globalconv[log]`); `metrics.jsonl` is always written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoard:
    """A writer of scalars; until `open` it writes nothing."""

    def __init__(self) -> None:
        self._writer: Any = None

    def open(self, folder: Path, resume_step: int) -> None:
        """Write into `folder` from now on, hiding what an interrupted run wrote there after `resume_step`."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1)

    @property
    def available(self) -> bool:
        return self._writer is not None

    def scalars(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        """Write `values` as `group/name` at `step`."""
        if self._writer is None:
            return
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
