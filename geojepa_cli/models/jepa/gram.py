"""Gram teacher: an older copy of the target encoder, for Gram anchoring (DINOv3, Siméoni et al. 2025)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from geojepa_cli.models.jepa.encoder import TileEncoder


class GramTeacher(nn.Module):
    """Copy of an encoder that is made once during training and then does not change.

    The copy is part of the module's state, so a resumed run uses the same copy.

    Args:
        encoder: encoder to copy later.
    """

    taken: Tensor

    def __init__(self, encoder: TileEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.register_buffer("taken", torch.zeros(1, dtype=torch.uint8))
        self._active: bool | None = None

    @property
    def active(self) -> bool:
        """True after the copy has been made. Waits for a GPU only when it is first read."""
        if self._active is None:
            self._active = bool(self.taken.item())
        return self._active

    @torch.no_grad()
    def take(self, encoder: TileEncoder) -> None:
        """Copies the weights of an encoder."""
        for own, other in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            own.copy_(other)
        self.taken.fill_(1)
        self._active = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._active = None
