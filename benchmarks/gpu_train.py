"""Trains a model on unpacked regions (see `benchmarks/gpu_pack.py`), on a machine without a workspace.

Writes the weights of the target encoder in float16, the configuration and the training log, in the form in which
`tools/ship_model.py` reads them. Prints the last line of the log and the throughput as JSON.
Geometry vectors that the model reads and the regions do not have are computed first.

    python benchmarks/gpu_train.py --store store --config gt.yaml --device cuda --out gt --set train.max_minutes=5
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from geometry_vectors import geometry_files
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.load import dump_config, load_config
from geojepa_cli.config.names import CONFIG, METRICS, WEIGHTS
from geojepa_cli.models.published import FORMAT
from geojepa_cli.models.registry import build_pretrainable
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train

PREFIX = "target_encoder."


def main() -> None:
    """Trains, and writes the model."""
    options = _options()
    config = load_config(options.config, options.set)
    processed = sorted(options.store.glob("*/processed.h5"))
    features = [path.with_name("tags.h5") for path in processed]
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    geometry = geometry_files(processed, config, options.threads)
    images = [None] * len(processed)
    data = TrainingData.open(config, processed, features, images, options.seed, geometry).to(device)
    model = build_pretrainable(config, data.inputs, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    result = train(model, data, config.train, options.out, options.seed)
    tensors = {
        name: tensor.half().contiguous().cpu() if tensor.is_floating_point() else tensor.cpu()
        for name, tensor in model.module.state_dict().items()
        if name.startswith(PREFIX)
    }
    save_file(tensors, options.out / WEIGHTS, FORMAT)
    (options.out / CONFIG).write_text(dump_config(config), encoding="utf-8")
    last = read_metrics(options.out / METRICS)[-1]
    seconds = max(result.progress.elapsed_s, 1e-9)
    figures = {"tokens_per_s": result.tokens_per_s, "tiles_per_s": result.progress.tiles / seconds}
    print(json.dumps({"name": options.out.name, **figures, "stopped_by": result.stopped_by, **last}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="folder that `gpu_pack.py unpack` wrote")
    parser.add_argument("--config", default="gt.yaml", help="configuration file, or name of a packed one")
    parser.add_argument("--set", action="append", default=[], help="setting to replace, such as train.max_minutes=5")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=4, help="number of CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
