"""Stage `models/`: trains models by masked latent prediction (pretraining)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import InterruptedRunError, NotFoundError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.models.registry import BASELINES
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images, with_same_images
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, number
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, in_fixed_order
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains, check_name, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.train.data import TrainingData
    from geojepa_cli.train.loop import Result

CONFIG = "config.yaml"
CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


def _rebuild(remains: Remains) -> Hint:
    """Returns the command that trains a model again.

    The command uses the configuration file in the model's artifact or, if this file is missing or damaged, `tiny.yaml`.
    """
    known = remains.files.get(CONFIG)
    path = remains.path / CONFIG if remains.path else None
    if path is None or known is None or not path.is_file() or file_sha256(path) != known:
        return hints.run("pretrain", config="tiny.yaml", name=legal_name(remains.name))
    regions, seed = input_refs(remains, "processed"), number(remains.params.get("seed"))
    again = hints.run("pretrain", config=path, name=remains.name, region=regions, seed=seed)
    return with_same_images(remains, again)


MODELS = Stage(
    "models",
    version=1,
    rebuild=_rebuild,
    keep=(CHECKPOINT, METRICS),
    resumes_from=(CHECKPOINT,),
    files=(CONFIG, METRICS, "weights.safetensors"),
)


@as_command("pretrain")
def pretrain(
    workspace: Workspace,
    config: str | Path = "tiny.yaml",
    region: Regions = None,
    set_: Mapping[str, object] | str | Sequence[str] = (),
    name: str | None = None,
    seed: int = 0,
    resume: bool = True,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Trains a model by masked latent prediction on one or several regions.

    Args:
        workspace: workspace to read from and publish to.
        config: path of a configuration file, or name of a configuration that comes with geojepa.
        region: names of regions, or `processed/` artifacts. Default: the only region in the workspace.
        set_: values that replace those in the configuration, such as `{"train.lr": 1e-3}` or `["train.lr=1e-3"]`.
        name: name of the model. Default: the name of the configuration file without its extension.
        seed: random seed of the initial weights, the order of tiles, and the masks.
        resume: resume an interrupted run from its last checkpoint.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads. Affects the rounding of sums, so results differ slightly.

    Returns:
        The `models/` artifact.

    Raises:
        UsageError: the configuration is not valid, training needs too much memory, or the device does not exist.
        NotFoundError: an artifact that training needs does not exist.
    """
    from geojepa_cli.config.load import load_config

    pairs = (
        [f"{key}={value}" for key, value in set_.items()] if isinstance(set_, Mapping) else check_texts("set_", set_)
    )
    resolved = load_config(str(config), pairs)
    name = name or Path(config).stem
    check_model_name(name)
    run = TrainingRun(resolved, name, seed, resume, device, threads)
    return make_model(workspace, in_fixed_order(find_regions(workspace, "processed", region)), run)


@dataclass(frozen=True)
class TrainingRun:
    """Settings of a training run.

    Attributes:
        config: configuration of the model, the data and the training.
        name: name of the model.
        seed: random seed of the initial weights, the order of tiles, and the masks.
        resume: resume an interrupted run from its last checkpoint.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads.
    """

    config: PretrainConfig
    name: str
    seed: int = 0
    resume: bool = True
    device: str = "auto"
    threads: int = 1


class TrainingInputs(NamedTuple):
    """Artifacts to train on. Each list contains one entry per region.

    Attributes:
        processed: `processed/` artifacts.
        features: `features/` artifacts.
        images: `images/` artifacts. An entry is None if the region has no images or the model does not read images.
    """

    processed: list[Artifact]
    features: list[Artifact]
    images: list[Artifact | None]

    @property
    def artifacts(self) -> list[Artifact]:
        """All artifacts in `processed`, `features` and `images`, without None."""
        return [*self.processed, *self.features, *(artifact for artifact in self.images if artifact)]


def make_model(workspace: Workspace, processed: Sequence[Artifact], run: TrainingRun) -> Artifact:
    """Trains a model, and publishes the artifact `models/<name>`.

    The artifact contains the weights, the configuration, the training metrics, a plot of the loss, and a model card.

    Args:
        workspace: workspace to publish to.
        processed: `processed/` artifacts of the regions to train on.
        run: settings of the run.

    Raises:
        NotFoundError: a region has no `features/` artifact, or the model reads images but no region has images.
        UsageError: the device does not exist, or training needs too much memory.
    """
    chosen = pick_device(run.device)
    features = [workspace.derived("features", region.name, region) for region in processed]
    images: list[Artifact | None] = [None] * len(processed)
    if Modality.IMAGE in run.config.needs:
        images = _images(workspace, processed)
    inputs = TrainingInputs(list(processed), features, images)
    params = {"config": run.config.model_dump(mode="json"), "seed": run.seed}

    def write(build: Build) -> Artifact:
        if not run.resume:
            build.clear()
        try:
            counts, timing = _train(build, run, inputs, chosen)
        except KeyboardInterrupt:
            raise _interrupted(build) from None
        _describe(build, run, inputs.artifacts, counts)
        return build.publish(counts=counts, extra={"seed": run.seed}, timing=timing)

    return MODELS.make(workspace, run.name, params, inputs.artifacts, write)


def check_model_name(name: str) -> None:
    """Checks that a name can be used for a new model.

    Raises:
        UsageError: the name is not valid, or a baseline has this name.
    """
    check_name(name)
    if name in BASELINES:
        raise UsageError(
            f"`{name}` is the name of a baseline; choose another name for the model", hints.again(name=f"my-{name}")
        )


def _train(
    build: Build, run: TrainingRun, inputs: TrainingInputs, device: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains a model, and writes the files of the model.

    Returns:
        Two dicts: the counts for `manifest.json`, such as the number of steps, and the entries for `timing.json`.
    """
    import torch

    from geojepa_cli.models.published import save_model
    from geojepa_cli.models.registry import build_pretrainable
    from geojepa_cli.train.data import TrainingData
    from geojepa_cli.train.loop import train
    from geojepa_cli.train.memory import check_memory

    config, seed = run.config, run.seed
    torch.set_num_threads(run.threads)
    # otherwise threads add the gradients of repeated rows in random order
    torch.use_deterministic_algorithms(torch.device(device).type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    data = TrainingData.open(
        config,
        [artifact.file(PROCESSED_FILE) for artifact in inputs.processed],
        [artifact.file(FEATURES_FILE) for artifact in inputs.features],
        [artifact.file(IMAGES_FILE) if artifact else None for artifact in inputs.images],
        seed,
    )
    check_memory(config, data)
    data = data.to(torch.device(device))
    model = build_pretrainable(config, data.inputs, seed)
    with console.progress("pretrain", 100.0) as meter:
        result = train(model, data, config.train, build.partial, seed, meter)
    if result.resumed_from is not None:
        console.note(f"training resumed from the checkpoint at step {result.resumed_from:,}")
    save_model(build.partial, model.module, config)
    (build.partial / CHECKPOINT).unlink(missing_ok=True)
    timing = {
        "tokens_per_s": round(result.tokens_per_s, 1),
        "training_s": round(result.progress.elapsed_s, 1),
        "threads": run.threads,
        "device": device,
    }
    return _counts(data, result, model.parameter_counts()), timing


def _counts(data: TrainingData, result: Result, parameters: Mapping[str, int]) -> dict[str, Any]:
    progress = result.progress
    return {
        "tiles": len(data.view.tiles),
        **{reason: count for reason, count in data.view.counts.items() if reason.startswith("tiles")},
        "steps": progress.step,
        "epochs": progress.epoch,
        "tiles_seen": progress.tiles,
        "tokens_seen": progress.tokens,
        **parameters,
        "stopped_by": result.stopped_by,
    }


def _interrupted(build: Build) -> InterruptedRunError:
    """Returns the error for a run that was stopped with Ctrl-C. The hint is the command that resumes this run.

    Without a checkpoint, no run can resume, so the files of the run are deleted.
    """
    from geojepa_cli.train.checkpoint import checkpoint_step

    step = checkpoint_step(build.partial / CHECKPOINT)
    if step is None:
        build.clear()
        earlier = hints.again(set={"train.checkpoint_every": 10})
        return InterruptedRunError("interrupted before the first checkpoint", earlier)
    resumed = hints.again().noting("add --no-resume to start again")
    return InterruptedRunError(f"interrupted; the last checkpoint is from step {step:,}", resumed)


def _describe(build: Build, run: TrainingRun, inputs: Sequence[Artifact], counts: Mapping[str, Any]) -> None:
    """Writes the plot of the loss and the model card."""
    from geojepa_cli.evaluate.plots.training import plot_metrics
    from geojepa_cli.export.model_card import model_card
    from geojepa_cli.train.log import read_metrics

    lines = read_metrics(build.partial / METRICS)
    plot_metrics(lines, build.partial / "loss.png", run.name)
    attribution = [line for artifact in inputs for line in artifact.attribution]
    refs = [artifact.full_ref for artifact in inputs]
    card = model_card(run.name, run.config, run.seed, refs, counts, lines[-1], attribution)
    (build.partial / "model_card.md").write_text(card, encoding="utf-8")


def _images(workspace: Workspace, processed: Sequence[Artifact]) -> list[Artifact | None]:
    """Returns the `images/` artifact of each region, or None for regions without images.

    Raises:
        NotFoundError: no region has images.
    """
    found = [joined_images(workspace, region) for region in processed]
    if not any(found):
        names = ", ".join(f"`{region.name}`" for region in processed)
        fetch = hints.run("fetch", pbf="FILE", name=processed[0].name, imagery="DIR").noting("then `tile`, `process`")
        hint = fetch.or_else(hints.again(set={"model.modalities": "[tags]"}))
        raise NotFoundError(f"the model reads images, but there are no images for the tiles of {names}", hint)
    return found
