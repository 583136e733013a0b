"""Trained models that come with the package. They are used where the workspace has no trained model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.names import CARD, CONFIG, WEIGHTS
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.manifest import identity_hash

if TYPE_CHECKING:
    from geojepa_cli.config.families import RunConfig
    from geojepa_cli.export.shipped_card import CardHeader

FOLDER = Path(__file__).resolve().parents[1] / "shipped"
DEFAULT_SHIPPED = "geojepa-small"
SHIPPED_GEOMETRY = "polygon-gnn"  # geometry encoder
WEIGHTS_PARAM, CONFIG_PARAM = "weights_sha256", "config_sha256"  # parameters of embeddings and geometry vectors
REINSTALL = hints.shell("pip", "install", "--force-reinstall", "geojepa")


@dataclass(frozen=True)
class ShippedModel:
    """A trained model that comes with the package.

    Attributes:
        name: name of the model, for the option `--model`.
        folder: folder with weights, configuration and model card.
        weights_sha256, config_sha256: SHA-256 checksums of the weights and of the configuration.
        header: header of the model card: training regions, attribution, text encoder.
    """

    name: str
    folder: Path
    weights_sha256: str
    config_sha256: str
    header: CardHeader

    @property
    def params(self) -> dict[str, str]:
        """Parameters that identify the model in artifacts that are made with it."""
        return {WEIGHTS_PARAM: self.weights_sha256, CONFIG_PARAM: self.config_sha256}

    @property
    def ref(self) -> str:
        """Reference to the model: `name@id`, where the id is a hash of weights and configuration."""
        return f"{self.name}@{identity_hash(self.params)}"

    def verified_file(self, name: str) -> Path:
        """Returns the path of a file, as `Artifact.verified_file` does.

        There is no manifest to compare it with: the checksums of weights and configuration are the id of the model.
        """
        return self.folder / name

    @cached_property
    def config(self) -> RunConfig:
        """Configuration with which the model was trained. It is read on first use.

        Raises:
            DataError: the configuration is damaged.
        """
        from geojepa_cli.config.load import load_run_config

        try:
            return load_run_config(str(self.folder / CONFIG))
        except UsageError as error:
            raise DataError(error.message, REINSTALL) from error


def shipped_names() -> list[str]:
    """Returns the names of all models that come with the package. A source checkout may have none."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{WEIGHTS}"))


def open_shipped(ref: str, option: str = "model") -> ShippedModel:
    """Opens a model that comes with the package. Does not load its weights.

    Args:
        ref: `name` or `name@id` of the model. The name is in `shipped_names()`.
        option: option in which the user gave `ref`, for the hint: `model` or `geometry_encoder`.

    Raises:
        NotFoundError: the installed model has another id.
        DataError: a file of the model is missing or damaged. The hint is the command that installs the package again.
    """
    from geojepa_cli.export.shipped_card import read_header

    name, at, wanted = ref.partition("@")
    folder = FOLDER / name
    try:
        sums = file_sha256(folder / WEIGHTS), file_sha256(folder / CONFIG)
        header = read_header((folder / CARD).read_text(encoding="utf-8"), str(folder / CARD))
    except DataError as error:
        raise DataError(error.message, REINSTALL) from error
    except UnicodeDecodeError as error:
        raise DataError(f"`{folder / CARD}` is not UTF-8 text: {error.reason}", REINSTALL) from error
    except OSError as error:
        raise DataError(f"`{error.filename or folder}` cannot be read: {error.strerror}", REINSTALL) from error
    model = ShippedModel(name, folder, *sums, header)
    if at and not (wanted and model.ref.startswith(ref)):
        flag = f"--{option.replace('_', '-')}"
        message = f"this version of geojepa comes with the model `{model.ref}`, not with `{ref}`"
        raise NotFoundError(message, hints.instead((flag, ref), (flag, name)))
    return model


def ref_in(params: Mapping[str, Any]) -> str | None:
    """Returns the reference to the shipped model with which an artifact was made. None if it was made without one.

    Args:
        params: parameters of an artifact with embeddings or geometry vectors.
    """
    sums = {name: params.get(name) for name in (WEIGHTS_PARAM, CONFIG_PARAM)}
    return f"{params.get('model')}@{identity_hash(sums)}" if all(sums.values()) else None


def noting_version(hint: Hint, refs: Iterable[str | None]) -> Hint:
    """Adds a note to a command if the command needs a model that comes with another version of geojepa.

    Args:
        hint: command that rebuilds an artifact.
        refs: references (`name@id`) to the models with which the artifact was made.
    """
    for ref in refs:
        name = (ref or "").partition("@")[0]
        if ref is None or name not in {*shipped_names(), DEFAULT_SHIPPED, SHIPPED_GEOMETRY}:
            continue
        with contextlib.suppress(DataError):
            if name not in shipped_names() or open_shipped(name).ref != ref:
                return hint.noting(f"with a version of geojepa that comes with the model {ref}")
    return hint
