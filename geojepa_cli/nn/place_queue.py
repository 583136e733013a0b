"""Queue of earlier places, which serve as negatives of a contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlaceQueue(nn.Module):
    """The last places that a model was trained on, as negatives of a contrastive loss. A ring buffer.

    The queue starts empty. Its content belongs to checkpoints, because all of it is in buffers.

    Attributes:
        lonlat: longitude and latitude in degrees. float64 [capacity, 2]
        groups: ids of the objects and of the tag sets at the places. int64 [capacity, 2]
        pushed: number of places that were pushed so far. int64 scalar

    Args:
        capacity: maximum number of places.
    """

    lonlat: Tensor
    groups: Tensor
    pushed: Tensor

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.register_buffer("lonlat", torch.zeros(capacity, 2, dtype=torch.float64))
        self.register_buffer("groups", torch.zeros(capacity, 2, dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """Number of places in the queue. Waits for a GPU."""
        return min(int(self.pushed), len(self.lonlat))

    def filled(self) -> Tensor:
        """Returns True for each slot that holds a place. bool [capacity]"""
        return torch.arange(len(self.lonlat), device=self.pushed.device) < self.pushed

    @torch.no_grad()
    def push(self, lonlat: Tensor, groups: Tensor) -> None:
        """Adds places. They replace the oldest places if the queue is full.

        Args:
            lonlat: longitude and latitude in degrees. float64 [n, 2]
            groups: ids of the objects and of the tag sets at the places. int64 [n, 2]
        """
        capacity = len(self.lonlat)
        if not capacity:
            return
        skipped = max(len(lonlat) - capacity, 0)
        slots = (self.pushed + torch.arange(skipped, len(lonlat), device=self.pushed.device)) % capacity
        self.lonlat[slots] = lonlat[skipped:]
        self.groups[slots] = groups[skipped:]
        self.pushed += len(lonlat)
