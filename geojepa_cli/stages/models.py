"""Models: pretraining by masked latent prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import InterruptedRunError, NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.schema import PretrainConfig


CONFIG = "config.yaml"


def _rebuild(remains: Remains) -> Hint:
    """Returns the command that trains a model again, by its own config where that is undamaged."""
    known = remains.files.get(CONFIG)
    path = remains.path / CONFIG if remains.path else None
    if path is None or known is None or not path.is_file() or file_sha256(path) != known:
        return hints.run("pretrain", config="tiny.yaml", name=legal_name(remains.name))
    regions = [ref.partition("/")[2] for ref in remains.inputs if ref.startswith("processed/")]
    seed = remains.params.get("seed", 0)
    return hints.run("pretrain", config=path, name=remains.name, region=regions, seed=seed or None)


MODELS = Stage("models", version=1, rebuild=_rebuild, keep=("checkpoint.safetensors", "metrics.jsonl"))


def make_model(
    workspace: Workspace,
    processed: Sequence[Artifact],
    config: PretrainConfig,
    name: str,
    seed: int = 0,
    resume: bool = True,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Publishes `models/<name>`: weights, config, metrics, plot and card.

    Raises:
        NotFoundError: a region has no features, or (for a model with images) no region has images.
        UsageError: the device is not there.
    """
    torch_device = pick_device(device)
    features = [workspace.derived("features", region.name, region) for region in processed]
    images = _images(workspace, processed) if "image" in config.model.modalities else [None] * len(processed)
    inputs = [*processed, *features, *(artifact for artifact in images if artifact)]
    params = {"config": config.model_dump(mode="json"), "seed": seed}
    with MODELS.build(workspace, name, params, inputs) as build:
        if build.existing:
            console.note(f"models/{build.existing.ref} is up to date, skipping")
            return build.existing
        _clear(build, resume)
        try:
            counts, timing = _train(build, config, seed, processed, features, images, torch_device, threads)
        except KeyboardInterrupt:
            raise _interrupted(build) from None
        _describe(build, config, name, seed, inputs, counts)
        return build.publish(counts=counts, extra={"seed": seed}, timing=timing)


def _clear(build: Build, resume: bool) -> None:
    """Removes what a killed run left, but for what a run goes on from: it may have died while it wrote a file."""
    from geojepa_cli.train.checkpoint import CHECKPOINT
    from geojepa_cli.train.loop import METRICS

    for left in build.partial.iterdir():
        if not resume or left.name not in (CHECKPOINT, METRICS):
            left.unlink()


def _train(
    build: Build,
    config: PretrainConfig,
    seed: int,
    processed: Sequence[Artifact],
    features: Sequence[Artifact],
    images: Sequence[Artifact | None],
    device: str,
    threads: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains into the partial directory; counts and speed."""
    import torch

    from geojepa_cli.models.jepa.build import build_jepa
    from geojepa_cli.models.jepa.load import save_model
    from geojepa_cli.train.checkpoint import CHECKPOINT
    from geojepa_cli.train.data import TrainingData
    from geojepa_cli.train.loop import pretrain_jepa

    torch.set_num_threads(threads)
    # else threads add the gradients of rows that occur twice in the order in which they come
    torch.use_deterministic_algorithms(torch.device(device).type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    data = TrainingData.open(
        config,
        [artifact.file("processed.h5") for artifact in processed],
        [artifact.file("tags.h5") for artifact in features],
        [artifact.file("images.h5") if artifact else None for artifact in images],
        seed,
    )
    model = build_jepa(config.model, seed).to(device)
    with console.progress("pretrain", 100.0) as meter:
        result = pretrain_jepa(model, data, config, build.partial, seed, meter)
    if result.resumed_from is not None:
        console.note(f"went on from the checkpoint at step {result.resumed_from:,}")
    save_model(build.partial, model, config)
    (build.partial / CHECKPOINT).unlink(missing_ok=True)
    place = result.place
    counts = {
        "tiles": len(data.view.tiles),
        **{reason: count for reason, count in data.view.counts.items() if reason.startswith("tiles")},
        "steps": place.step,
        "epochs": place.epoch,
        "tiles_seen": place.tiles,
        "tokens_seen": place.tokens,
        "parameters": sum(p.numel() for p in model.context_encoder.parameters()),
        "predictor_parameters": sum(p.numel() for p in model.predictor.parameters()),
        "stopped_by": result.stopped_by,
    }
    timing = {
        "tokens_per_s": round(result.tokens_per_s, 1),
        "training_s": round(place.elapsed_s, 1),
        "threads": threads,
        "device": device,
    }
    return counts, timing


def _interrupted(build: Build) -> InterruptedRunError:
    """What to tell a person who stopped a run: where it stood, and that nothing before the checkpoint is lost."""
    from geojepa_cli.train.checkpoint import CHECKPOINT, checkpoint_step

    step = checkpoint_step(build.partial / CHECKPOINT)
    if step is None:
        return InterruptedRunError(
            "interrupted before the first checkpoint", "the same command begins anew; --set train.checkpoint_every=N"
        )
    return InterruptedRunError(
        f"interrupted; the last checkpoint is of step {step:,}",
        f"the same command goes on from step {step:,} (--no-resume begins anew)",
    )


def _describe(
    build: Build, config: PretrainConfig, name: str, seed: int, inputs: Sequence[Artifact], counts: dict[str, Any]
) -> None:
    """Plot and card."""
    from geojepa_cli.evaluate.plots.training import plot_metrics
    from geojepa_cli.export.model_card import model_card
    from geojepa_cli.train.loop import METRICS
    from geojepa_cli.train.monitor import read_metrics

    lines = read_metrics(build.partial / METRICS)
    plot_metrics(lines, build.partial / "loss.png", name)
    attribution = [line for artifact in inputs for line in artifact.manifest["attribution"]]
    refs = [f"{artifact.kind}/{artifact.ref}" for artifact in inputs]
    card = model_card(name, config, seed, refs, counts, lines[-1], attribution)
    (build.partial / "model_card.md").write_text(f"{card}\n{_seen(config)}\n", encoding="utf-8")


def _seen(config: PretrainConfig) -> str:
    """What of the tested tiles the model saw, for the card."""
    seed = config.data.split_seed
    left = (
        f"without the test groups of the split by seed {seed}" if config.data.exclude_test_groups else "on all groups"
    )
    return (
        f"## What it saw of tested tiles\n\nIt was trained {left}, and without any label. A probe that is "
        "cross-validated over groups of the same regions tests all of them: also tiles that the model saw."
    )


def _images(workspace: Workspace, processed: Sequence[Artifact]) -> list[Artifact | None]:
    """The images of each region's tiles, where it has any."""
    found = [joined_images(workspace, region) for region in processed]
    if not any(found):
        names = ", ".join(f"`{region.name}`" for region in processed)
        raise NotFoundError(
            f"the config's modalities hold `image`, and {names} has no images of its tiles' source and zoom",
            hint="geojepa fetch --pbf FILE --name NAME --imagery DIR, or --config t.yaml",
        )
    return found
