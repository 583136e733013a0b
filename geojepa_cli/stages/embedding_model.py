"""Models that compute embeddings: finds a trained model, a shipped model or a baseline, and loads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from geojepa_cli import console, hints
from geojepa_cli.baselines.registry import SUPERVISED
from geojepa_cli.config.images import IMAGE_BASELINES, RANDOM_LABEL, TUNED_BASELINES
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.config.language_model import PREFIX, LanguageModel, language_model
from geojepa_cli.config.modality import TAGS_ONLY, Modality, Needs
from geojepa_cli.config.names import KEPT_WEIGHTS, WEIGHTS, split_suffix
from geojepa_cli.errors import DataError, FeatureMismatchError, GeojepaError, UsageError, unknown
from geojepa_cli.models import registry
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.geometry_features import find_encoder_of, geometry_features
from geojepa_cli.stages.geometry_source import GeometrySource, is_encoder
from geojepa_cli.stages.image_backbones import RANDOM_MODELS, find_backbone, find_tuned_backbone, split_weights
from geojepa_cli.stages.image_features import ImageSource, find_image_encoder_of
from geojepa_cli.stages.shipped import DEFAULT_SHIPPED, REINSTALL, ShippedModel, open_shipped, shipped_names
from geojepa_cli.stages.shipped_inputs import check_tags, find_obstacle
from geojepa_cli.stages.stage import check_own
from geojepa_cli.stages.training import model_config, other_weights
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name, name_of
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.config.data import DataConfig
    from geojepa_cli.config.families import RunConfig
    from geojepa_cli.models.base import Embedder, FrozenInputs

TAGPOOL = registry.DEFAULT_BASELINE


@dataclass(frozen=True)
class Model:
    """A trained model or baseline that computes embeddings.

    Attributes:
        name: name of the `models/` artifact, of the shipped model, or of the baseline.
        artifact: `models/` artifact of a trained model; None for a shipped model or a baseline.
        shipped: model that comes with the package; None for others.
        file: name of the file with the weights; `name` ends with `-best` or `-step-N` if they are not the last.
        language: language model that `probe` asks for labels; None for others.
        weights: file with the first weights of an image backbone to train. None: torchvision's cache.
    """

    name: str
    artifact: Artifact | None = None
    shipped: ShippedModel | None = None
    file: str = WEIGHTS
    language: LanguageModel | None = None
    weights: str | None = None

    @property
    def ref(self) -> str:
        """Reference to the model: `name@id` for a trained or shipped model, the name for a baseline."""
        if self.artifact is None:
            return self.shipped.ref if self.shipped else self.name
        return f"{self.name}@{self.artifact.id}"

    @property
    def supervised(self) -> bool:
        """True for a baseline that `probe` trains on the labels of a task. It computes no embeddings."""
        return self.is_baseline and self.name in SUPERVISED

    @property
    def is_baseline(self) -> bool:
        """True for a baseline, which needs no files of a model in the workspace."""
        return self.artifact is None and self.shipped is None and self.language is None

    @property
    def params(self) -> dict[str, str]:
        """Parameters of an `embeddings/` artifact that identify the model, such as its name."""
        own = self.shipped.params if self.shipped else {} if self.artifact else registry.baseline_params(self.name)
        return {"model": self.name, **own}

    @property
    def attribution(self) -> tuple[str, ...]:
        """Attribution lines of a shipped model, for the embeddings that it computes. Empty for other models."""
        return self.shipped.header.attribution if self.shipped else ()

    @property
    def regions(self) -> set[str]:
        """Names of the regions that the model was trained on."""
        if self.artifact is None:
            return set(self.shipped.header.regions) if self.shipped else set()
        return {name_of(ref) for ref in inputs_of_kind(self.artifact, "processed")}

    @cached_property
    def config(self) -> RunConfig | None:
        """Configuration with which the model was trained. None for a baseline. It is read on first use.

        Raises:
            DataError: `config.yaml` of the model is damaged.
        """
        if self.artifact is None:
            return self.shipped.config if self.shipped else None
        return model_config(self.artifact)

    @property
    def untrained(self) -> bool:
        """True for the first weights of a model: those of step 0, or of a run of 0 steps."""
        steps = self.config.train.max_steps if self.config else None
        return steps == 0 or self.file == KEPT_WEIGHTS.format(step=0)

    def data_config(self) -> DataConfig | None:
        """Returns the settings that selected the training tiles. None if the model was not trained on tiles.

        Raises:
            DataError: `config.yaml` of the model is damaged.
        """
        from geojepa_cli.config.families import TileConfig

        config = self.config
        return config.data if isinstance(config, TileConfig) else None

    def needs(self) -> Needs:
        """Returns the modalities that the model reads.

        Raises:
            DataError: `config.yaml` of the model is damaged.
        """
        if self.supervised or self.language is not None:
            return frozenset({Modality.IMAGE}) if self.name in TUNED_BASELINES else TAGS_ONLY
        config = self.config
        return registry.baseline_needs(self.name) if config is None else config.needs

    def tag_features(self, workspace: Workspace, processed: Artifact) -> Artifact:
        """Returns the `features/` artifact with the tag embeddings of a region.

        Raises:
            NotFoundError: there is no such artifact.
            DataError: the shipped model cannot read these tag embeddings.
        """
        features = tag_features(workspace, processed)
        if self.shipped is not None:
            check_tags(self.shipped, features)
        return features

    def geometry(self, workspace: Workspace, processed: Artifact) -> GeometrySource | None:
        """Returns the geometry encoder whose vectors the model reads. None if the model reads no geometry vectors.

        Raises:
            NotFoundError: the weights of the geometry encoder do not exist.
            DataError: `config.yaml` of the model is damaged.
        """
        from geojepa_cli.config.schema import PretrainConfig

        config = self.config
        if not isinstance(config, PretrainConfig) or Modality.GEOMETRY not in config.needs:
            return None
        return find_encoder_of(workspace, processed, config.model)

    def geometry_features(self, workspace: Workspace, processed: Artifact, threads: int = 1) -> Artifact | None:
        """Returns the geometry vectors of a region, computed if they do not exist. None if the model reads none.

        Raises:
            NotFoundError: the vectors do not exist, and neither do the weights of the geometry encoder.
            DataError: a file of the model or the region is damaged.
        """
        source = self.geometry(workspace, processed)
        return geometry_features(workspace, processed, source, threads) if source else None

    def images(self, workspace: Workspace, images: Artifact | None) -> ImageSource | None:
        """Returns the frozen image encoder whose tokens the model reads, or which it trains. None if there is none.

        Args:
            workspace: workspace that contains the image tokens.
            images: `images/` artifact of the region; None for a region without images.

        Raises:
            NotFoundError: neither the tokens nor the weights of the image encoder exist.
            DataError: `config.yaml` of the model is damaged.
        """
        from geojepa_cli.config.schema import PretrainConfig

        config, known = self.config, self.name if self.is_baseline else ""
        if known in TUNED_BASELINES:
            return find_tuned_backbone(known, self.weights)
        if images is not None and known in IMAGE_BASELINES:
            return find_backbone(workspace, images, known)
        if images is None or not isinstance(config, PretrainConfig) or config.model.frozen_images is None:
            return None
        return find_image_encoder_of(workspace, [images], config.model)

    def label(self, name: str) -> str:
        """Returns `name`, with a mark added if this model or its image encoder has random weights."""
        marks = [RANDOM_LABEL] if self.has_random_images() else []
        marks += [FIRST_WEIGHTS] if self.untrained else []
        return name + "".join(f" ({mark})" for mark in marks)

    def has_random_images(self) -> bool:
        """Returns True if the model reads image tokens of an encoder with random weights."""
        from geojepa_cli.config.schema import PretrainConfig

        if self.is_baseline:
            return self.name in RANDOM_MODELS
        return isinstance(self.config, PretrainConfig) and self.config.model.random_images

    def open(self, inputs: FrozenInputs) -> Embedder:
        """Loads the model, and returns an `Embedder`, which computes embeddings.

        Args:
            inputs: text embeddings of all tags. The model is loaded onto the device that contains them.

        Raises:
            DataError: the files of the model are damaged.
        """
        config, source = self.config, self.artifact or self.shipped
        if config is None or source is None:
            return registry.open_baseline(self.name, inputs)
        folder = source.verified_file(self.file).parent
        try:
            return registry.open_published(folder, config.family, inputs, self.file)
        except FeatureMismatchError:
            raise
        except GeojepaError as error:
            if isinstance(source, Artifact):
                raise source.broken(error.message) from error
            raise DataError(error.message, REINSTALL) from error


def find_model(
    workspace: Workspace,
    ref: str | Artifact | LanguageModel | None,
    regions: Sequence[Artifact] = (),
    supervised: bool = False,
) -> Model:
    """Finds a model or baseline in a workspace.

    Args:
        workspace: the workspace.
        ref: `name` or `name@id` of a model, name of a baseline, or `models/` artifact. `name-best` and `name-step-N`
            select the best weights, or those of a step. None selects the first that exists: the newest model in the
            workspace (no geometry encoder), the model that comes with the package if it can embed the regions, or the
            baseline TagPool. A note then names the selected model.
        regions: `processed/` artifacts of the regions to embed.
        supervised: also accept baselines that are trained on the labels of a task, and language models.

    Raises:
        UsageError: `ref` is neither text nor a `models/` artifact of this workspace, or the baseline computes no
            embeddings.
        NotFoundError: there is no such model. The message suggests the most similar name.
        DataError: the model is incomplete or has another schema version. No older model is used instead.
    """
    from geojepa_cli.config.load import packed_configs

    check_own(workspace, ref)
    if isinstance(ref, LanguageModel) or (isinstance(ref, str) and ref.startswith(PREFIX)):
        language = language_model(ref, supervised)
        return Model(language.ref, language=language)
    if isinstance(ref, Artifact) and ref.kind == "models":
        return Model(ref.name, ref)
    if ref is not None and not isinstance(ref, str):
        raise wrong_type("model", ref, "a model's name or `models` artifact", 'workspace.find("models", "NAME")')
    if ref is None:
        return _default_model(workspace, regions)
    ref, weights = split_weights(ref)
    if ref in SUPERVISED and not supervised:
        probed = hints.run("probe", task="max_speed", model=ref)
        raise UsageError(f"`{ref}` is trained on the labels of a task, so it computes no embeddings", probed)
    if ref in registry.BASELINES or ref in SUPERVISED:
        return Model(ref, weights=weights)
    name, at, id_ = ref.partition("@")
    if name in shipped_names():
        return Model(name, shipped=open_shipped(ref))
    names, (plain, suffix) = workspace.names("models"), split_suffix(name)
    if name not in names and suffix and plain in names:
        artifact = workspace.find("models", f"{plain}{at}{id_}")
        return Model(name, artifact, file=other_weights(artifact, suffix, ref))
    if name not in names:
        preset, others = f"{name}.yaml", SUPERVISED if supervised else ()
        known = [] if preset in packed_configs() else [*names, *registry.BASELINES, *shipped_names(), *others]
        hint = hints.run("pretrain", config="tiny.yaml" if known else preset, name=legal_name(name))
        raise unknown("model", ref, known, hint, "--model")
    return Model(name, workspace.find("models", ref))


def _default_model(workspace: Workspace, regions: Sequence[Artifact]) -> Model:
    newest = workspace.newest("models", None, lambda inputs, params: not is_encoder(params))
    if newest is not None:
        console.note(f"using the model {newest.ref}, the newest in `{workspace.root}`")
        return Model(newest.name, newest)
    missing = f"there is no trained model in `{workspace.root}`"
    if DEFAULT_SHIPPED in shipped_names():
        model = Model(DEFAULT_SHIPPED, shipped=open_shipped(DEFAULT_SHIPPED))
        obstacle = find_obstacle(workspace, model, regions)
        if obstacle is None:
            console.note(f"{missing}: using {model.ref}, which comes with geojepa; `geojepa pretrain` trains a model")
            return model
        missing += f", and {model.name} cannot be used ({obstacle})"
    console.note(f"{missing}: using the baseline {TAGPOOL}, which needs no training; `geojepa pretrain` trains a model")
    return Model(TAGPOOL)
