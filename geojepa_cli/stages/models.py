"""Stage `models/`: trains models by masked latent prediction (pretraining)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.baselines.registry import SUPERVISED
from geojepa_cli.config.images import RANDOM
from geojepa_cli.config.labels import RESERVED
from geojepa_cli.config.modality import IMAGES, Modality
from geojepa_cli.config.names import CARD, METRICS, split_suffix
from geojepa_cli.errors import UsageError
from geojepa_cli.models.registry import BASELINES
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.fold import check_fold
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.geometry_features import find_encoder_of, geometry_features
from geojepa_cli.stages.geometry_model import make_geometry_model
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.image_features import ImageSource, find_image_encoder_of, image_tokens, images_of
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.photos import FILE as PHOTOS_FILE
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.shipped import shipped_names
from geojepa_cli.stages.stage import Regions, as_command, find_regions, in_fixed_order
from geojepa_cli.stages.trained_groups import groups_of_encoders
from geojepa_cli.stages.training import TrainingRun, prepare_torch, publish_model, train_model
from geojepa_cli.stages.training_inputs import TrainingInputs, photos_to_train
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import check_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.families import TileConfig
    from geojepa_cli.config.schema import PretrainConfig


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
    fold: int | None = None,
) -> Artifact:
    """Trains a model by masked latent prediction on the tiles of one or several regions.

    With a configuration such as `geometry.yaml`, trains a geometry encoder on numbers that are drawn from fonts.

    Args:
        workspace: workspace to read from and publish to.
        config: path of a configuration file, or name of a configuration that comes with geojepa.
        region: names of regions, or `processed/` artifacts. Default: the only region in the workspace.
            Must not be given for a geometry encoder.
        set_: values that replace those in the configuration, such as `{"train.lr": 1e-3}` or `["train.lr=1e-3"]`.
        name: name of the model. Default: the name of the configuration file without its extension.
        seed: random seed of the initial weights, the order of tiles, and the masks.
        resume: resume an interrupted run from its last checkpoint.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads. Affects the rounding of sums, so results differ slightly.
        fold: number of a fold of the tasks. Training leaves out this fold, and the zoom-14 tiles next to it, so that
            `probe` can test the model on the fold. The same as the setting `data.fold`.

    Returns:
        The `models/` artifact.

    Raises:
        UsageError: the configuration is not valid, training needs too much memory, or the device does not exist.
        NotFoundError: an artifact that training needs does not exist.
    """
    from geojepa_cli.config.geometry import GeometryConfig
    from geojepa_cli.config.load import load_run_config

    if isinstance(set_, Mapping):
        pairs = [f"{key}={'null' if value is None else value}" for key, value in set_.items()]
    else:
        pairs = check_texts("set_", set_)
    name = name or Path(config).stem + ("" if fold is None else f"-fold{fold}")
    with Ranks.from_environment() as ranks:
        with ranks.leader_first():
            if fold is not None:
                pairs = [*pairs, f"data.fold={check_fold(str(config), pairs, fold)}"]
            resolved = load_run_config(str(config), pairs)
            check_model_name(name)
            ranks.check_accumulation(resolved.train.accumulation)
            if isinstance(resolved, GeometryConfig):
                _refuse_regions(workspace, config, region)
            else:
                regions = in_fixed_order(find_regions(workspace, "processed", region))
        if isinstance(resolved, GeometryConfig):
            return make_geometry_model(workspace, TrainingRun(resolved, name, seed, resume, device, threads, ranks))
        return make_model(workspace, regions, TrainingRun(resolved, name, seed, resume, device, threads, ranks))


def _refuse_regions(workspace: Workspace, config: str | Path, region: Regions) -> None:
    """Raises an error if regions are given for a configuration that trains on fonts."""
    if region:
        # the hints for geojepa commands keep `--region`
        words = ("geojepa", "--workspace", str(workspace.root), "pretrain", "--config", str(config))
        raise UsageError(f"`{config}` trains on fonts, so it cannot be combined with `--region`", hints.shell(*words))


def make_model(workspace: Workspace, processed: Sequence[Artifact], run: TrainingRun[TileConfig]) -> Artifact:
    """Trains a model, and publishes the artifact `models/<name>`.

    The artifact contains the weights, the configuration, the training metrics, a plot of the loss, and a model card.

    Args:
        workspace: workspace to publish to.
        processed: `processed/` artifacts of the regions to train on.
        run: settings of the run.

    Raises:
        NotFoundError: a region has no `features/` artifact, the model reads images but no region has images, or the
            geometry encoder or the weights of the image encoder do not exist.
        UsageError: the device does not exist, or training needs too much memory.
    """
    from geojepa_cli.config.schema import PretrainConfig

    config = run.config
    with run.ranks.leader_first():
        chosen = run.ranks.device(pick_device(run.device))
        features = [tag_features(workspace, region) for region in processed]
        images: list[Artifact | None] = [None] * len(processed)
        if IMAGES & config.needs:
            without = hints.again(set={"model.modalities": "[tags]"}) if isinstance(config, PretrainConfig) else None
            images = images_of(workspace, processed, "the model reads images, but ", without)
        tokens, source = None, None
        if isinstance(config, PretrainConfig) and config.model.frozen_images is not None:
            config, tokens, source = _with_image_tokens(workspace, images, config, chosen, run.threads)
        geometry = None
        if isinstance(config, PretrainConfig) and Modality.GEOMETRY in config.needs:
            config, geometry = _with_geometry(workspace, processed, config, run.threads)
        photos = photos_to_train(workspace, processed, config)
    run = replace(run, config=config)
    seen = groups_of_encoders(workspace, geometry or [])
    inputs = TrainingInputs(list(processed), features, geometry, images, tokens, source, photos, seen)

    def train(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        return _train(folder, run, inputs, chosen)

    def describe(folder: Path, counts: Mapping[str, Any]) -> None:
        _describe(folder, run, inputs.artifacts, counts)

    return publish_model(workspace, run, inputs.artifacts, {}, train, describe)


def _with_geometry(
    workspace: Workspace, processed: Sequence[Artifact], config: PretrainConfig, threads: int
) -> tuple[PretrainConfig, list[Artifact]]:
    """Finds the geometry encoder of a model configuration. Computes geometry vectors that do not exist yet.

    Returns:
        The configuration, to which the version of the encoder is added, and the geometry vectors of the regions.

    Raises:
        NotFoundError: the geometry encoder does not exist.
        DataError: the vectors have another length than the model expects.
    """
    source = find_encoder_of(workspace, processed[0], config.model)
    found = [geometry_features(workspace, region, source, threads) for region in processed]
    model = config.model.model_copy(update={"geometry_version": source.kind.version})
    return config.model_copy(update={"model": model}), found


def _with_image_tokens(
    workspace: Workspace, images: Sequence[Artifact | None], config: PretrainConfig, device: str, threads: int
) -> tuple[PretrainConfig, list[Artifact | None], ImageSource | None]:
    """Finds the image encoder of a model configuration. Computes image tokens that do not exist yet.

    Returns:
        The configuration with the version of the encoder instead of the path of its weights, the image tokens, and the
        encoder. The encoder is None if training does not run it.

    Raises:
        NotFoundError: the weights of the image encoder do not exist.
    """
    model, to_run = config.model, config.masking.pixels
    source, kind = find_image_encoder_of(workspace, images, model, to_run), device.partition(":")[0]
    tokens = [None if one is None else image_tokens(workspace, one, source, kind, threads) for one in images]
    weights = RANDOM if source.kind.version == RANDOM else None
    model = model.model_copy(update={"image_version": source.kind.version, "image_weights": weights})
    return config.model_copy(update={"model": model}), tokens, source if to_run else None


def check_model_name(name: str) -> None:
    """Checks that a name can be used for a new model.

    Raises:
        UsageError: the name is not valid, is the name of a baseline or of a model that comes with geojepa, or ends like
            the name of other weights of a model.
    """
    check_name(name)
    plain, suffix = split_suffix(name)
    if suffix:
        free = hints.again(name=f"{plain}-{suffix.replace('-', '')}-model")
        raise UsageError(f"`{name}` stands for other weights of the model `{plain}`; choose another name", free)
    if name in BASELINES or name in SUPERVISED or name in RESERVED or name in shipped_names():
        what = "a model that comes with geojepa" if name in shipped_names() else "a baseline"
        raise UsageError(
            f"`{name}` is the name of {what}; choose another name for the model", hints.again(name=f"my-{name}")
        )


def _train(
    folder: Path, run: TrainingRun[TileConfig], inputs: TrainingInputs, device: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains a model, and writes the files of the model.

    Returns:
        Two dicts: the counts for `manifest.json`, such as the number of steps, and the entries for `timing.json`.
    """
    import numpy as np
    import torch

    from geojepa_cli.tasks.trained_groups import write_groups
    from geojepa_cli.train.data import TrainingData
    from geojepa_cli.train.memory import available_bytes, check_memory

    prepare_torch(device, run.threads)
    with run.ranks.leader_first():
        data = TrainingData.open(
            run.config,
            [artifact.file(PROCESSED_FILE) for artifact in inputs.processed],
            [artifact.file(FEATURES_FILE) for artifact in inputs.features],
            [artifact.file(IMAGES_FILE) if artifact else None for artifact in inputs.images],
            run.seed,
            [artifact.file(GEOMETRY_FILE) for artifact in inputs.geometry] if inputs.geometry else None,
            [artifact.file(TOKENS_FILE) if artifact else None for artifact in inputs.image_tokens or []] or None,
            inputs.image_source.load() if inputs.image_source else None,
            [[artifact.file(PHOTOS_FILE) for artifact in some] for some in inputs.photos],
        )
        available = available_bytes(data.device)
        processes = run.ranks.local_size if device == "cpu" else 1
        check_memory(run.config, data, None if available is None else available // processes)
    data = data.to(torch.device(device))
    trained = train_model(folder, run, data, data.inputs, device)
    if run.ranks.leads and inputs.encoder_groups is not None:
        own = data.store.groups[data.view.tiles if trained.result.progress.step else []]  # of no step: no tile
        write_groups(folder, np.concatenate([own, inputs.encoder_groups]))
    dropped = {reason: count for reason, count in data.view.counts.items() if reason.startswith("tiles")}
    return trained.counts({"tiles": len(data.view.tiles), **dropped}), trained.timing


def _describe(
    folder: Path, run: TrainingRun[TileConfig], inputs: Sequence[Artifact], counts: Mapping[str, Any]
) -> None:
    """Writes the plot of the loss and the model card."""
    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.evaluate.plots.training import plot_metrics
    from geojepa_cli.export.model_card import model_card
    from geojepa_cli.models.jepa.pretraining import ema_momentum
    from geojepa_cli.train.log import read_metrics

    lines = read_metrics(folder / METRICS)
    shown = lines
    if isinstance(run.config, PretrainConfig):
        shown = [{**line, "ema_momentum": ema_momentum(run.config.train, line["done"])} for line in lines]
    plot_metrics(shown, folder / "loss.png", run.name)
    attribution = [line for artifact in inputs for line in artifact.attribution]
    refs = [artifact.full_ref for artifact in inputs]
    card = model_card(run.name, run.config, run.seed, refs, counts, lines[-1], attribution)
    (folder / CARD).write_text(card, encoding="utf-8")
