"""Work on several processes, which `torchrun` starts on one or several computers.

In training, each process (rank) has a copy of the model and computes a part of the batches of each step. The gradients
are summed over all processes, so all copies stay equal. Process 0 leads: only this process writes files and prints.
`embed` divides regions among the processes instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, OtherRankError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

LEADER = 0
NEXT = "geojepa/next"  # key of a counter that all processes share
TIMEOUT = timedelta(days=7)  # the other processes wait while process 0 computes geometry vectors or figures


@dataclass(frozen=True)
class Ranks:
    """Processes of a run. The methods that exchange data must be called by all processes, in the same order.

    If a process fails, these methods raise `OtherRankError` in the other processes.

    Attributes:
        rank: index of this process.
        size: number of processes.
        local_rank: index of this process among the processes on the same computer.
        local_size: number of processes on this computer.
    """

    rank: int = LEADER
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def alone(cls) -> Ranks:
        """Returns the only process of a run. Nothing is exchanged."""
        return cls()

    @classmethod
    @contextmanager
    def from_environment(cls) -> Iterator[Ranks]:
        """Context manager that connects the processes that `torchrun` started, and yields the `Ranks` of this process.

        Without `torchrun`, there is one process. From now on, all processes except process 0 print only errors.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1 or "RANK" not in os.environ:
            yield cls.alone()
            return
        import torch
        import torch._dynamo  # optimisers import it; imported after the connection, it keeps the connection's threads
        from torch import distributed

        rank = int(os.environ["RANK"])
        ranks = cls(rank, size, int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size)))
        if not ranks.leads:
            console.print_only_errors()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _as_failure_of_another():
            distributed.init_process_group(backend, rank=rank, world_size=size, timeout=TIMEOUT)
        try:
            yield ranks
        finally:
            distributed.destroy_process_group()

    @property
    def leads(self) -> bool:
        """True for process 0, which writes files and prints."""
        return self.rank == LEADER

    def parts(self, accumulation: int) -> range:
        """Returns the indices of the batches of a step that this process computes.

        Args:
            accumulation: number of batches per step, of all processes together.
        """
        return range(self.rank, accumulation, self.size)

    def check_accumulation(self, accumulation: int) -> None:
        """Checks that each process has at least one batch per step.

        Raises:
            UsageError: there are more processes than batches per step.
        """
        if accumulation < self.size:
            raise UsageError(
                f"`train.accumulation` is {accumulation}, but {self.size} processes need at least {self.size} batches "
                "per optimiser update",
                hints.again(set={"train.accumulation": self.size}),
            )

    def device(self, name: str) -> str:
        """Returns the device of this process, such as `cuda:1`.

        Args:
            name: `cpu` or `cuda`.

        Raises:
            UsageError: there are more processes than CUDA devices on this computer.
        """
        if self.size == 1 or name != "cuda":
            return name
        import torch

        count = torch.cuda.device_count()
        if count < self.local_size:
            message = f"{self.local_size} processes run on this computer, but it has only"
            raise UsageError(f"{message} {console.counted(count, 'CUDA device')}", hints.again(device="cpu"))
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Context manager that lets process 0 run the body first. The other processes wait for process 0."""
        if not self.leads:
            self.share()
        yield
        if self.leads:
            self.share("done")

    def share(self, text: str = "") -> str:
        """Returns the text of process 0. The texts of the other processes are ignored."""
        return text if self.size == 1 else self._all_texts(text if self.leads else "")[LEADER]

    def texts(self, text: str) -> list[str]:
        """Returns the texts of all processes, in order of their ranks."""
        return [text] if self.size == 1 else self._all_texts(text)

    def take(self, count: int) -> Iterator[int]:
        """Yields the numbers below `count` that this process takes. No other process takes the same number.

        A process takes the next number when it has finished its work on the previous one. So a slow process takes fewer
        numbers. Each process must use up the iterator.
        """
        if self.size == 1:
            yield from range(count)
            return
        from torch import distributed

        with _as_failure_of_another():
            place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            store = distributed.TCPStore(*place, is_master=False, wait_for_workers=False)  # type: ignore[attr-defined]
            if self.leads:
                store.set(NEXT, "0")
        self.share()
        while True:
            with _as_failure_of_another():
                number = store.add(NEXT, 1) - 1
            if number >= count:
                return
            yield number

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Returns the sum of each number over all processes. Does not wait for a GPU."""
        if self.size == 1:
            return list(numbers)
        import torch

        total = torch.tensor(numbers, dtype=torch.float64)
        self._sum(total)
        return [float(number) for number in total]

    def sum_terms(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Returns the sum of each named number over all processes. A process need not have all names."""
        if self.size == 1:
            return dict(terms)
        total: dict[str, float] = {}
        for text in self._all_texts(json.dumps(dict(terms))):
            for name, number in json.loads(text).items():
                total[name] = total.get(name, 0.0) + number
        return total

    def gather_rows(self, parts: Sequence[Tensor], accumulation: int) -> Tensor:
        """Returns the rows of all batches of a step, in the order of the batches.

        Args:
            parts: rows of each batch that this process computed, see `parts`. int64 [n, k] each
            accumulation: number of batches per step, of all processes together.
        Returns:
            int64 [sum of all n, k]
        """
        import torch

        if self.size == 1:
            return torch.cat(list(parts))
        lengths = torch.zeros(accumulation, dtype=torch.int64)
        lengths[list(self.parts(accumulation))] = torch.tensor([len(part) for part in parts])
        self._sum(lengths)
        ends = lengths.cumsum(0)
        rows = torch.zeros(int(ends[-1]), parts[0].shape[1], dtype=torch.int64)
        for number, part in zip(self.parts(accumulation), parts, strict=True):
            rows[int(ends[number] - lengths[number]) : int(ends[number])] = part.cpu()
        self._sum(rows)  # each row is zero in all processes but one
        return rows.to(parts[0].device)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces each gradient by its sum over all processes. Exchanges all gradients at once.

        A parameter that has no gradient in any process still has none afterwards.
        """
        if self.size == 1:
            return
        import torch

        present = self.sum_numbers([float(parameter.grad is not None) for parameter in parameters])
        used = [parameter for parameter, count in zip(parameters, present, strict=True) if count]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sum(flat)
        for parameter, gradient in zip(used, flat.split([p.numel() for p in used]), strict=True):
            parameter.grad = gradient.view_as(parameter)

    def copy_weights(self, module: nn.Module) -> None:
        """Copies the weights and buffers of process 0 to all processes."""
        if self.size == 1:
            return
        from torch import distributed

        with _as_failure_of_another():
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, LEADER)

    def check_same_step(self, step: int) -> None:
        """Checks that all processes start at the same step.

        Raises:
            DataError: the processes start at different steps, because they read different checkpoints.
        """
        steps = self.texts(str(step))
        if len(set(steps)) > 1:
            raise DataError(
                f"the processes start at different steps ({', '.join(steps)}): the workspace must be a folder that all "
                "computers share",
                hints.again(no_resume=True),
            )

    def _all_texts(self, text: str) -> list[str]:
        """Returns the texts of all processes, in order of their ranks."""
        import torch
        from torch import distributed

        own = torch.tensor(list(text.encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with _as_failure_of_another():
            distributed.all_gather(sizes, torch.tensor([len(own)]))
            longest = max(int(size) for size in sizes)
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(own)] = own
            found = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(found, padded)
        return [bytes(row[: int(size)].tolist()).decode() for row, size in zip(found, sizes, strict=True)]

    def _sum(self, tensor: Tensor) -> None:
        from torch import distributed

        with _as_failure_of_another():
            distributed.all_reduce(tensor)


@contextmanager
def _as_failure_of_another() -> Iterator[None]:
    """Context manager that turns the error of a lost connection into `OtherRankError`.

    An error that this process ran out of memory is not changed.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise OtherRankError(f"another process of this run has ended: {error}") from error
