"""`geojepa pretrain`: trains a model on one or several regions by masked latent prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.imagery import images_of
from geojepa_cli.errors import InterruptedRunError, NotFoundError, UsageError
from geojepa_cli.workspace import Artifact, Build, Workspace, check_name

if TYPE_CHECKING:
    from geojepa_cli.config import PretrainConfig

STAGE_VERSION = 1


def pretrain(
    ctx: typer.Context,
    config: Annotated[
        str, typer.Option("--config", help="Path of a config, or the name of a packed one.")
    ] = "tiny.yaml",
    region: options.Regions = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key, such as `train.lr=1e-3`; may be given again.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model. Default: the config's.")] = None,
    seed: options.Seed = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint of a killed run.")] = True,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads.")] = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Train a model on one or several regions.

    Example: geojepa pretrain --config tiny.yaml --region state-college --set train.max_minutes=5
    """
    from geojepa_cli.config import load_config

    resolved = load_config(config, settings or [])
    chosen = name or Path(config).stem
    check_name(chosen)
    workspace = options.workspace(ctx)
    model = build_model(
        workspace, workspace.regions("processed", region), resolved, chosen, seed, resume, device, threads
    )
    counts = model.manifest["counts"]
    if json:
        console.emit_json("pretrain", model.ref, {"counts": counts})
        return
    rows = [(key.replace("_", " "), f"{value:,}" if isinstance(value, int) else value) for key, value in counts.items()]
    console.table(f"models/{model.ref}", ["", ""], rows, caption=str(model.path))


def build_model(
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
    torch_device = _device(device)
    features = [workspace.derived("features", region.name, region) for region in processed]
    images = _images(workspace, processed) if "image" in config.model.modalities else [None] * len(processed)
    inputs = [*processed, *features, *(artifact for artifact in images if artifact)]
    params = {"config": config.model_dump(mode="json"), "seed": seed}
    with workspace.build("models", name, params, inputs, STAGE_VERSION, resume=True) as build:
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

    from geojepa_cli.train.builder import build_jepa
    from geojepa_cli.train.checkpoint import CHECKPOINT
    from geojepa_cli.train.data import TrainingData
    from geojepa_cli.train.load import save_model
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
    from geojepa_cli.train.card import model_card
    from geojepa_cli.train.loop import METRICS
    from geojepa_cli.train.monitor import read_metrics
    from geojepa_cli.train.plot import plot_metrics

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
    found = [images_of(workspace, region) for region in processed]
    if not any(found):
        names = ", ".join(f"`{region.name}`" for region in processed)
        raise NotFoundError(
            f"the config's modalities hold `image`, and {names} has no images of its tiles' source and zoom",
            hint="geojepa fetch --pbf FILE --name NAME --imagery DIR, or --config t.yaml",
        )
    return found


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted not in ("cpu", "cuda"):
        raise UsageError(f"unknown device `{wanted}`", hint="--device cpu, cuda or auto")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("this installation of torch sees no CUDA device", hint="--device cpu")
    return wanted
