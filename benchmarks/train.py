"""Measures the speed of pretraining, and compares it with the fastest matrix product of the same machine.

Prints JSON:

- `tokens_per_s`, `tiles_per_s`: throughput of whole training steps: reading batches, masks, tokens, forward pass,
  backward pass, optimiser, and the moving average of the target encoder.
- `gflops`: floating-point operations per second in 10⁹. Only the operations that the model needs for real tokens
  count: no padding, and each context token of the predictor once per layer, however often it is computed.
- `gemm_peak_gflops`: the same unit for the fastest of several large matrix products. They are measured between the
  steps, because the speed of a machine varies.
- `gemm_round_gflops`: the fastest product before each of the parts of the measurement. Where these differ much, the
  share of the peak depends on the machine more than on the code.
- `share_of_peak`: `gflops` divided by `gemm_peak_gflops`.
- `padding_share`: share of padding in the rows that attention processes.
- `peak_memory_gb`: largest memory of the process, or of the GPU.

    python benchmarks/train.py --config t.yaml --workspace workspace --threads 2
    python benchmarks/train.py --config paper-t.yaml --device cuda --set train.precision=bfloat16
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from geometry_vectors import geometry_files
from machine import add_options, measure_rounds, memory_bytes, wait_for
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.load import load_config
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.models.base import StepLosses
from geojepa_cli.models.jepa.jepa import JepaInput
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.nn.layers.transformer import compile_blocks, recompute_activations
from geojepa_cli.nn.layouts import SharedLayout
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train.ahead import Ahead
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import _Run
from geojepa_cli.train.steps import Prepared


def main() -> None:
    """Measures, and prints the result."""
    options = _options()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    config = load_config(options.config, [*options.set, "train.max_steps=1000000000", "train.epochs=null"])
    data = TrainingData.open(config, *_files(options), options.seed, _geometry(options, config)).to(device)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(config, data, Path(folder), options)
    result |= {"share_of_peak": result["gflops"] / result["gemm_peak_gflops"]}
    result |= {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"}
    result |= {"threads": options.threads, "torch": torch.__version__, "config": options.config, "set": options.set}
    print(json.dumps({name: round(x, 4) if isinstance(x, float) else x for name, x in result.items()}, indent=1))


def measure(config: PretrainConfig, data: TrainingData, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Trains some steps without measuring, then measures steps until the time is over."""
    model = Counted(build(config, data.inputs, options.seed))
    if config.train.compile:
        compile_blocks(model.module)
    if config.train.recompute:
        recompute_activations(model.module)
    run = _Run(model, data, config.train, folder, options.seed)  # type: ignore[arg-type]
    steps = Ahead(run.prepared(), data.device)
    try:
        for _ in range(options.warmup):
            run._step(steps)
        wait_for(data.device)
        model.count = Count()
        before = run.progress.tokens, run.progress.tiles
        half = config.train.precision == "bfloat16"
        seconds, done, peaks = measure_rounds(lambda: run._step(steps), data.device, half, options)
        run._check()
        if options.profile:
            profile(run, steps, options.profile)
    finally:
        steps.close()
        run.close()
    trained = sum(p.numel() for p in model.module.parameters() if p.requires_grad)
    optimiser = 15.0 * trained + 3.0 * sum(p.numel() for p in model.module.target_encoder.parameters())
    count = model.count
    return {
        "tokens_per_s": (run.progress.tokens - before[0]) / seconds,
        "tiles_per_s": (run.progress.tiles - before[1]) / seconds,
        "mean_length": (run.progress.tokens - before[0]) / max(run.progress.tiles - before[1], 1),
        "gflops": (count.flops + done * optimiser) / seconds / 1e9,
        "gemm_peak_gflops": max(peaks),
        "gemm_round_gflops": [round(one, 1) for one in peaks],
        "padding_share": 1.0 - count.rows / max(count.padded_rows, 1),
        "peak_memory_gb": memory_bytes(data.device) / 1e9,
        "steps": done,
        "seconds": seconds,
        "loss": run.last_loss,
        "parameters": trained,
    }


def profile(run: _Run, steps: Ahead[Prepared], path: Path) -> None:
    """Profiles three steps, and writes the operators with the most time to a file."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        for _ in range(3):
            run._step(steps)
        wait_for(run.data.device)
    order = "self_cuda_time_total" if run.data.device.type == "cuda" else "self_cpu_time_total"
    averages = found.key_averages()
    tables = [averages.table(sort_by=name, row_limit=40) for name in (order, "self_cpu_time_total")]
    path.write_text("\n".join(tables), encoding="utf-8")


class Count:
    """Floating-point operations, and rows of attention with and without padding."""

    def __init__(self) -> None:
        self.flops, self.rows, self.padded_rows = 0.0, 0, 0


class Counted(JepaPretraining):
    """GeoJEPA model that counts the floating-point operations of its steps."""

    def __init__(self, model: JepaPretraining) -> None:
        self.__dict__.update(model.__dict__)
        self.count = Count()

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Counts the operations of a step while it is prepared, because the count reads values of tensors."""
        prepared = self.prepare_input(batch, rng)
        flops, (rows, padded) = step_flops(prepared, self._config), _rows(prepared)

        def losses() -> StepLosses:
            self.count.flops += flops
            self.count.rows += rows
            self.count.padded_rows += padded
            return self._losses(prepared, rng)

        return losses


def step_flops(batch: JepaInput, config: PretrainConfig) -> float:
    """Returns the floating-point operations of a step. A multiplication and an addition are two operations."""
    model, masks = config.model, batch.masks
    width, narrow = model.embed_dim, model.predictor_dim
    whole, context = batch.places.cu_seqlens.diff().double(), masks.context_cu.diff().double()
    targets = masks.target_cu.diff().double()
    known = context.repeat(len(targets) // len(context)) * (targets > 0)
    encoder = _layers(model.depth, width, model.mlp_ratio)
    forward = encoder(whole.sum(), (whole * whole).sum())
    trained = encoder(context.sum(), (context * context).sum())
    pairs = (context * context).sum() + (targets * (known + targets)).sum()
    predicted = targets.sum()
    trained += _layers(model.predictor_depth, narrow, model.mlp_ratio)(context.sum() + predicted, pairs)
    trained += 4.0 * width * narrow * 0.5 * (context.sum() + predicted)  # projections to and from the predictor
    position = 2.0 * (4 * width * width)  # two layers for the box, two that combine box and modality
    content = 2.0 * model.tag_dim * width
    tokens = whole.sum()
    forward += tokens * (position + content)
    trained += context.sum() * (position + content) + (context.sum() + predicted) * 8.0 * narrow * narrow
    return float(forward + 3.0 * trained)


def _layers(depth: int, width: int, ratio: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the operations of transformer layers as a function of the tokens and the (query, key) pairs."""
    linear = 2.0 * (4 + 2 * ratio) * width * width
    return lambda tokens, pairs: depth * (tokens * linear + 4.0 * width * pairs)


def _rows(batch: JepaInput) -> tuple[int, int]:
    """Returns the rows that attention processes, without and with padding."""
    layouts = (batch.whole.layout, batch.context.layout, batch.arranged.layout)
    rows = sum(int(x.cu_keys[-1]) if isinstance(x, SharedLayout) else int(x.cu_seqlens[-1]) for x in layouts)
    if batch.places.box.is_cuda:
        return rows, rows  # the kernel for sequences of different lengths needs no padding
    return rows, sum(len(x.padded.keys.source) for x in layouts)


def _files(options: argparse.Namespace) -> tuple[list[Path], list[Path], list[Path | None]]:
    """Returns the paths of `processed.h5` and `tags.h5` of all regions, and no images."""
    if options.store:
        processed = sorted(options.store.glob("*/processed.h5"))
        return processed, [path.with_name("tags.h5") for path in processed], [None] * len(processed)
    processed = sorted(options.workspace.glob("processed/*/processed.h5"))
    if options.region:
        processed = [path for path in processed if path.parent.name.partition("@")[0] in options.region]
    names = [path.parent.name.partition("@")[0] for path in processed]
    features = [next(iter(sorted(options.workspace.glob(f"features/{name}@*/tags.h5"))), None) for name in names]
    if not processed or None in features:
        sys.exit(f"`{options.workspace}` has no regions with tag embeddings. Try: geojepa demo")
    return processed, [path for path in features if path], [None] * len(processed)


def _geometry(options: argparse.Namespace, config: PretrainConfig) -> list[Path] | None:
    """Returns the path of `geometry.h5` of all regions, or None if the model reads no geometry."""
    processed, _, _ = _files(options)
    if options.store or Modality.GEOMETRY not in config.needs:
        return geometry_files(processed, config, options.threads)
    names = [path.parent.name.partition("@")[0] for path in processed]
    found = [next(iter(sorted(options.workspace.glob(f"features/{name}@*/geometry.h5"))), None) for name in names]
    if None in found:
        sys.exit(f"`{options.workspace}` has regions without geometry vectors. Try: geojepa process --geometry-encoder")
    return [path for path in found if path]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="t.yaml", help="configuration file, or name of a packed one")
    parser.add_argument("--store", type=Path, help="folder that `gpu_pack.py unpack` wrote, instead of a workspace")
    parser.add_argument("--profile", type=Path, help="also profile three steps, and write a table to this file")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
