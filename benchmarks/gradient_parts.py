"""Measures how much each part of the training loss of GeoJEPA moves the encoder.

The total loss is a weighted sum of parts: the prediction of hidden tokens, of tile vectors, of tags, the regulariser,
and Gram anchoring. A small loss can have large gradients, so shares of the loss do not show which part trains the
encoder. For each part, prints as JSON:

- `gradient_norm`: norm of the gradient of this part alone, with its weight, on the trained weights of the transformer
  of the context encoder. Mean over the batches.
- `cosine`: cosine of this gradient with that of the total loss. Mean over the batches.
- `loss_share`: share in the total loss. Mean over the batches.

`--model` takes the folder of a published model, whose configuration and weights are used. Without it, the first weights
of `--config` are measured.

    python benchmarks/gradient_parts.py --workspace workspace --region harrisburg --model workspace/models/NAME@ID
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import benchmarks.train as train
from geojepa_cli.config.load import load_config
from geojepa_cli.config.loss import LossConfig
from geojepa_cli.models.jepa.losses import jepa_losses
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.models.published import read_model
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train.data import TrainingData

OFF = {
    "prediction": {"prediction_weight": 0.0},
    "tile": {"tile_prediction_weight": 0.0},
    "tags": {"tag_prediction_weight": 0.0},
    "regulariser": {"regulariser": "none"},
    "gram": {"gram_weight": 0.0},
}
TRAINED = "context_encoder.encoder."  # beginning of the names of the weights that are looked at


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the result."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    tensors, config = read_model(options.model) if options.model else ({}, load_config(options.config, options.set))
    data = TrainingData.open(config, *train._files(options), options.seed, train._geometry(options, config))
    training = build(config, data.inputs, options.seed)
    training.module.load_state_dict(tensors, strict=False)
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, batch in enumerate(islice(data.batches(0, range(data.n_batches(0))), options.batches)):
        for part, figures in measure(training, config.loss, batch, number, data).items():
            for name, value in figures.items():
                sums[part][name].append(value)
    means = {part: {name: round(float(np.mean(v)), 4) for name, v in one.items()} for part, one in sums.items()}
    print(json.dumps({"batches": options.batches, "seed": options.seed, "parts": means}, indent=1))


def measure(
    training: JepaPretraining, loss: LossConfig, batch: TileBatch, seed: int, data: TrainingData
) -> dict[str, dict[str, float]]:
    """Returns the figures of each part that the loss has, and the norm of the gradient of the total, for one batch."""
    total, shares = _gradient(training, loss, batch, seed, data)
    found = {"total": {"gradient_norm": float(total.norm())}}
    for part in OFF:
        if f"loss_share_{part}" not in shares:
            continue
        alone = loss.model_copy(update={key: v for name, off in OFF.items() if name != part for key, v in off.items()})
        gradient, _ = _gradient(training, alone, batch, seed, data)
        cosine = torch.nn.functional.cosine_similarity(gradient, total, dim=0)
        share = float(shares[f"loss_share_{part}"])
        found[part] = {"gradient_norm": float(gradient.norm()), "cosine": float(cosine), "loss_share": share}
    return found


def _gradient(
    training: JepaPretraining, loss: LossConfig, batch: TileBatch, seed: int, data: TrainingData
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns the gradient of a loss, flat, and the terms of the loss. The seed alone determines the masks."""
    prepared = training.prepare_input(batch, torch.Generator().manual_seed(seed))
    output = training.module(prepared, data.inputs.tag_table)
    rng = torch.Generator().manual_seed(seed)
    losses = jepa_losses(output, loss, training._weights, rng, training._modalities)
    named = training.module.named_parameters()
    weights = [value for name, value in named if name.startswith(TRAINED) and value.requires_grad]
    gradients = torch.autograd.grad(losses["loss"], weights, allow_unused=True)
    zeros = map(torch.zeros_like, weights)
    flat = [zero if one is None else one for zero, one in zip(zeros, gradients, strict=True)]
    return torch.cat([one.flatten() for one in flat]), losses


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="workspace with processed regions")
    parser.add_argument("--region", action="append", help="region to draw batches from; repeat it for several")
    parser.add_argument("--model", type=Path, help="folder of a published model")
    parser.add_argument("--config", default="tiny.yaml", help="configuration, if no model is given")
    parser.add_argument("--set", action="append", default=[], help="setting of the configuration to replace")
    parser.add_argument("--batches", type=int, default=8, help="number of batches")
    parser.add_argument("--threads", type=int, default=2, help="number of CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of tiles, and of the first weights")
    options = parser.parse_args(arguments)
    options.store = None
    return options


if __name__ == "__main__":
    main()
