"""Data-parallel training: gradients are averaged after `backward`, so networks stay plain modules."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.variant import Training


@dataclass(frozen=True)
class Processes:
    """This process's rank among `size`; the methods do nothing where there is only one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def _all_reduce_mean(self, tensors: list[Tensor]) -> None:
        """Averages tensors over all processes, in place, one message for each dtype."""
        by_kind: dict[tuple, list[Tensor]] = {}
        for tensor in tensors:
            by_kind.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for group in by_kind.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            dist.all_reduce(flat)
            flat /= self.size
            for tensor, mean in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Averages the gradients; a parameter that got none on this process must have got none on the others."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size > 1 and gradients:
            self._all_reduce_mean(gradients)

    @torch.no_grad()
    def average_buffers(self, modules: Iterable[torch.nn.Module]) -> None:
        """Averages floating-point buffers (batch statistics, running means of a loss) over all processes."""
        buffers = [buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()]
        if self.size > 1 and buffers:
            self._all_reduce_mean(buffers)

    @torch.no_grad()
    def average(self, values: Tensor) -> Tensor:
        """Returns the mean of a tensor over all processes."""
        if self.size > 1:
            values = values.clone()
            self._all_reduce_mean([values])
        return values

    @torch.no_grad()
    def gather(self, rows: Tensor) -> Tensor:
        """Returns the rows (n, ...) of all processes in the order of their ranks, (n * size, ...)."""
        if self.size == 1:
            return rows
        rows = rows.contiguous()
        gathered = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(gathered, rows)
        return torch.cat(gathered)

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process."""
        if self.size == 1:
            return flag
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        votes = torch.tensor([float(flag)], device=device, dtype=torch.float32)
        dist.all_reduce(votes)
        return bool(votes.item())

    @torch.no_grad()
    def broadcast(self, modules: Iterable[torch.nn.Module]) -> None:
        """Copies the parameters and buffers of the first process to all."""
        if self.size > 1:
            for module in modules:
                for tensor in [*module.parameters(), *module.buffers()]:
                    dist.broadcast(tensor.data, 0)

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            dist.barrier()


ALONE = Processes()


def join(device_type: str) -> Processes:
    """Joins the processes that torchrun started (WORLD_SIZE above 1), over NCCL on CUDA and gloo elsewhere."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes()
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # NCCL uses the current device
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


def leave() -> None:
    """Leaves the group that `join` made: call it at the end of a process whose work is done, not after an error.

    Without it the threads of the group outlive the interpreter. After an error another process may never arrive, and
    NCCL would wait for it.
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def parts(training: Training, processes: Processes) -> list[slice]:
    """Returns this process's slices of the whole batch, one for each micro-batch; UsageError if they are uneven."""
    pieces = training.accumulate * processes.size
    if training.batch_size % pieces or training.batch_size < pieces:
        raise UsageError(
            f"A batch of {training.batch_size} cannot be split evenly over {processes.size} process(es) "
            f"and {training.accumulate} micro-batch(es): choose a batch size divisible by {pieces}."
        )
    size = training.batch_size // pieces
    return [slice(start * size, start * size + size) for start in range(processes.rank, pieces, processes.size)]
