"""Measures the speed of GAIR: whole training steps, and vectors of places in images that are already encoded.

Prints JSON:

- `step_s`: seconds per training step: reading batches, points on entities, forward pass, backward pass, optimiser, and
  the queue of locations. The queue is full.
- `tiles_per_step`, `queries_per_step`: means of the measured steps.
- `queries_per_s`: localised vectors per second, read from feature maps of `--tiles` images without gradients.
- `gflops`: floating-point operations per second of the training steps, in 10⁹. Only the matrix products that the model
  needs count.
- `gemm_peak_gflops`: the same unit for the fastest of several large matrix products. They are measured between the
  steps, because the speed of a machine varies.
- `gemm_round_gflops`: the fastest product before each of the parts of the measurement. Where these differ much, the
  share of the peak depends on the machine more than on the code.
- `share_of_peak`: `gflops` divided by `gemm_peak_gflops`.
- `peak_memory_gb`: largest memory of the process, or of the GPU.

    python benchmarks/gair.py --workspace workspace --threads 2
    python benchmarks/gair.py --config paper-gair.yaml --device cuda --set train.accumulation=1
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import ROUNDS, add_options, measure_rounds, memory_bytes, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.gair import GairConfig, GairModelConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.models.gair.gair import GairInput
from geojepa_cli.models.gair.pretraining import GairPretraining, build
from geojepa_cli.nn.inr import UNFOLDED
from geojepa_cli.nn.layers.transformer import compile_blocks, recompute_activations
from geojepa_cli.train.ahead import Ahead
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import _Run

READ_POINTS = 4096  # points that are read at once to measure `queries_per_s`
KINDS = (("features", "tags.h5"), ("images", "images.h5"))  # artifacts of a region, and their files


def main() -> None:
    """Measures, and prints the result."""
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    limits = [f"ground.queries={options.queries}", "train.max_steps=1000000000", "train.epochs=null"]
    config = load_run_config(options.config, [*options.set, *limits])
    if not isinstance(config, GairConfig):
        sys.exit(f"`{options.config}` is a configuration of the family `{config.family}`, expected `gair`")
    data = TrainingData.open(config, *_files(options.workspace, options.region), options.seed)
    config = _sized(config, data, options.tiles)
    data = TrainingData.open(config, *_files(options.workspace, options.region), options.seed).to(device)
    model = Counted(build(config, data.inputs, options.seed))
    with tempfile.TemporaryDirectory() as folder:
        result = measure_steps(model, config, data, Path(folder), options)
    result |= {"queries_per_s": measure_reading(model, config, data, options)}
    result |= {"share_of_peak": result["gflops"] / result["gemm_peak_gflops"]}
    result |= {"peak_memory_gb": memory_bytes(device) / 1e9}
    result |= {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"}
    result |= {"threads": options.threads, "torch": torch.__version__, "config": options.config, "set": options.set}
    print(json.dumps({name: round(x, 4) if isinstance(x, float) else x for name, x in result.items()}, indent=1))


def measure_steps(
    model: Counted, config: GairConfig, data: TrainingData, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Trains some steps without measuring, then measures steps until the time is over."""
    if config.train.compile:
        compile_blocks(model.module)
    if config.train.recompute:
        recompute_activations(model.module)
    run = _Run(model, data, config.train, folder, options.seed)
    steps = Ahead(run.prepared(), data.device)
    try:
        for _ in range(options.warmup):
            run._step(steps)
        _fill_queue(model)
        wait_for(data.device)
        model.forget()
        tiles = run.progress.tiles
        half = config.train.precision == "bfloat16"
        seconds, done, peaks = measure_rounds(lambda: run._step(steps), data.device, half, options)
        run._check()
    finally:
        steps.close()
        run.close()
    batches = max(model.batches, 1)
    return {
        "step_s": seconds / done,
        "tiles_per_step": (run.progress.tiles - tiles) / done,
        "queries_per_step": model.queries / batches * config.train.accumulation,
        "queue": len(model.module.queue),
        "gflops": model.flops / batches * config.train.accumulation * done / seconds / 1e9,
        "gemm_peak_gflops": max(peaks),
        "gemm_round_gflops": [round(one, 1) for one in peaks],
        "steps": done,
        "seconds": seconds,
        "loss": run.last_loss,
        "parameters": sum(p.numel() for p in model.module.parameters() if p.requires_grad),
    }


@torch.inference_mode()
def measure_reading(model: Counted, config: GairConfig, data: TrainingData, options: argparse.Namespace) -> float:
    """Returns the number of points per second that are read from feature maps."""
    module, grid, device = model.module, config.model.grid, data.device
    features = torch.randn(options.tiles, config.model.embed_dim, grid, grid, device=device)
    uv = torch.rand(READ_POINTS, 2, device=device)
    image = torch.randint(options.tiles, (READ_POINTS,), device=device)
    module.interpolation(features, uv, image)
    wait_for(device)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < options.seconds / ROUNDS:
        module.interpolation(features, uv, image)
        wait_for(device)
        done += READ_POINTS
    return done / (time.perf_counter() - started)


class Counted(GairPretraining):
    """GAIR model that counts the operations of its batches, and their queries."""

    def __init__(self, model: GairPretraining) -> None:
        self.__dict__.update(model.__dict__)
        self.forget()

    def forget(self) -> None:
        """Starts to count again."""
        self.flops, self.queries, self.batches = 0.0, 0, 0

    def prepare_input(self, *given: Any) -> GairInput:
        """Counts the operations of a batch while it is prepared."""
        prepared = super().prepare_input(*given)
        queries = len(prepared.queries.entity)
        self.flops += step_flops(self._config, len(prepared.images), queries)
        self.queries, self.batches = self.queries + queries, self.batches + 1
        return prepared


def step_flops(config: GairConfig, images: int, queries: int) -> float:
    """Returns the floating-point operations of a batch. A multiplication and an addition are two operations."""
    model, cells = config.model, config.model.tokens_per_image
    width = model.embed_dim
    layer = 2.0 * (4 + 2 * model.mlp_ratio) * width * width + 4.0 * width * cells  # per token
    overhead = images * cells * (model.depth * layer + 2.0 * 3 * model.patch_px**2 * width)
    ground = queries * 2.0 * (model.tag_dim * width + 5 * width * width)  # projection, MLP and head
    scores = queries * 2.0 * width * (2 * queries + 2 * config.loss.queue)
    located = (queries + config.loss.queue) * _location_flops(model)
    return 3.0 * (overhead + ground + scores + located + _reading_flops(model, images, queries))


def _reading_flops(model: GairModelConfig, images: int, queries: int) -> float:
    width = model.embed_dim
    if model.decoder not in ("mlp", "linear"):
        return queries * 2.0 * width * width
    hidden = model.decoder_dim if model.decoder == "mlp" else width
    read = min(4 * queries, images * model.tokens_per_image) * 2.0 * UNFOLDED * width * hidden
    return read + (4 * queries * 2.0 * hidden * width if model.decoder == "mlp" else 0.0)


def _location_flops(model: GairModelConfig) -> float:
    scales, first = len(model.location_sigmas), 2 * model.location_features
    if model.location_encoding == "harmonics":
        scales, first = 1, (model.harmonics_degree + 1) ** 2
    hidden = model.location_dim
    inner = (model.location_layers - 1) * hidden * hidden
    return scales * 2.0 * (first * hidden + inner + hidden * model.embed_dim)


def _fill_queue(model: Counted) -> None:
    """Pushes the places of the first steps again and again, until the queue is full."""
    queue = model.module.queue
    known = len(queue)
    while known and len(queue) < len(queue.lonlat):
        queue.push(queue.lonlat[:known].clone(), queue.groups[:known].clone())


def _sized(config: GairConfig, data: TrainingData, tiles: int) -> GairConfig:
    """Returns a configuration whose batches have about the given number of tiles."""
    tokens = int(tiles * (data.sampler.lengths.mean() + config.model.tokens_per_image))
    return config.model_copy(update={"train": config.train.model_copy(update={"batch_tokens": tokens})})


def _files(workspace: Path, regions: list[str] | None) -> tuple[list[Path], list[Path], list[Path | None]]:
    """Returns the paths of `processed.h5`, `tags.h5` and `images.h5` of all regions that have images."""
    found: tuple[list[Path], list[Path], list[Path | None]] = ([], [], [])
    for processed in sorted(workspace.glob("processed/*/processed.h5")):
        name = processed.parent.name.partition("@")[0]
        tags, images = (next(iter(sorted(workspace.glob(f"{kind}/{name}@*/{file}"))), None) for kind, file in KINDS)
        if tags is None or images is None or (regions and name not in regions):
            continue
        found[0].append(processed)
        found[1].append(tags)
        found[2].append(images)
    if not found[0]:
        sys.exit(f"`{workspace}` has no regions with tag embeddings and images. Try: geojepa demo")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="gair.yaml", help="configuration file, or name of a packed one")
    parser.add_argument("--tiles", type=int, default=32, help="mean number of tiles per batch")
    parser.add_argument("--queries", type=int, default=512, help="maximum number of entities per batch")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
