"""The precision in which networks run and learn: bfloat16 only where the device multiplies it natively."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch


def inference_precision(device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in bfloat16 where no gradient is recorded and the device multiplies it natively.

    Networks lose nothing by it that could be measured (``benchmarks/generators.md``) and run about twice as fast. Where
    gradients are wanted (training, likelihoods) the caller's precision stays.
    """
    if torch.is_grad_enabled() or not native_bfloat16(device.type):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in the precision of their factors, for geometry: three digits are too few for a bond's length."""
    return torch.autocast(device.type, enabled=False)


def training_precision(wanted: str, device: str) -> str:
    """A precision by Fabric's name: the one wanted, but ``32-true`` for ``bf16-mixed`` on a device that emulates it.

    Emulated products are many times slower than those of 32 bits, and no better.
    """
    return "32-true" if wanted == "bf16-mixed" and not native_bfloat16(device) else wanted


@cache
def native_bfloat16(device: str) -> bool:
    """Whether a kind of device (``cpu``, ``cuda``) multiplies bfloat16 matrices itself."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # Processors without the instructions would emulate them and be slower; older versions of torch cannot tell.
    capable = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device == "cpu" and any(capable.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
