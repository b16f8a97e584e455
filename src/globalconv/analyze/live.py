"""How many bytes of tensors live at a time, on any device: also on the meta device, where none are really there."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """While entered, adds up the storages that operations make and takes off those that are let go of.

    Views share their storage and count once; what was there before does not count.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        """Bytes that live."""
        self.most = 0
        """Most bytes that ever lived at one time."""
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor):
                self._known.add(given.untyped_storage())
        outputs = func(*args, **(kwargs or {}))
        for made in tree_leaves(outputs):
            if isinstance(made, Tensor) and made.untyped_storage() not in self._known:
                self._take_up(made.untyped_storage())
        return outputs

    def _take_up(self, storage: Any) -> None:
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._let_go, size)

    def _let_go(self, size: int) -> None:
        self.now -= size
