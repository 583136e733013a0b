"""Language models in a probe: asks models for the labels of a sample of the test tiles, with pictures of the tiles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.images import DRAWN_ATTRIBUTION, DRAWN_LABEL
from geojepa_cli.config.language_model import PREFIX, TILES, LanguageModel
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.probe_regions import BuiltTask
from geojepa_cli.stages.rebuild import Options, number, short_ref
from geojepa_cli.stages.tile_pictures import TilePictures
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.baselines.llm import Tally
    from geojepa_cli.evaluate.folds import Floats, ProbeData, Rows
    from geojepa_cli.evaluate.probe import ProbeResult
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

STEP_M = 10  # to which the width of tiles in the question is rounded


class _Asked(NamedTuple):
    """Answers of a language model.

    Attributes:
        values: label of each tile of the task, float64 [n]; NaN for tiles without an answer.
        tally: counts of the requests.
    """

    values: Floats
    tally: Tally


class ZeroShotRuns:
    """Asks language models about a sample of the test tiles of a task.

    Args:
        workspace: workspace with the images, and with the folder of stored answers.
        models: models of a probe. Only the language models among them are asked.
        built: regions and artifacts of the task.
        store, data: tiles of these regions, and their labels.
        seed: random seed of the sample and of the folds.
        fold: the only fold of the task to test; None for all folds.

    Raises:
        UsageError: the environment variable with the API key of a model is not set or not valid.
    """

    def __init__(
        self,
        workspace: Workspace,
        models: Sequence[Model],
        built: BuiltTask,
        store: TileStore,
        data: TaskData,
        seed: int,
        fold: int | None,
    ) -> None:
        self._models = [one.language for one in models if one.language is not None]
        self._keys = {model.ref: _read_key(model) for model in self._models}
        self._workspace, self._data = workspace, data
        self._places: dict[str, Rows] = {}
        self._pictures: dict[str, TilePictures] = {}
        self._asked: dict[str, _Asked] = {}
        if self._models:
            self._draw(built, store, seed, fold)

    def _draw(self, built: BuiltTask, store: TileStore, seed: int, fold: int | None) -> None:
        """Selects a random sample of tiles to ask about, and finds their pictures."""
        import numpy as np

        from geojepa_cli.evaluate.folds import make_folds, probe_data
        from geojepa_cli.evaluate.zero_shot import draw_tiles
        from geojepa_cli.grid import ground_size

        rows, probed = probe_data(self._data)
        tested = np.concatenate([one.test for one in make_folds(probed, seed, fold)])
        tested = np.sort(tested[probed.kept[tested]])
        for model in self._models:
            places = draw_tiles(probed.groups, tested, model.tiles, seed)
            self._places[model.ref] = places
            self._pictures[model.ref] = TilePictures(self._workspace, built.regions, store, rows[places])
        self._tiles = len(rows)
        middle = np.median(store.tile_zxy[rows[tested]], axis=0).astype(np.int64).tolist()
        self._side_m = max(1, round(ground_size(*middle)[0] / STEP_M)) * STEP_M

    @property
    def artifacts(self) -> list[Artifact]:
        """Artifacts from which the pictures are made."""
        return list(dict.fromkeys(one for found in self._pictures.values() for one in found.artifacts))

    @property
    def attribution(self) -> tuple[str, ...]:
        """Attribution lines of pictures that are drawn from the map. Empty if no picture is drawn."""
        return (DRAWN_ATTRIBUTION,) if any(one.drawn for one in self._pictures.values()) else ()

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the `probes/` artifact, for each language model.

        They are the number of tiles, and hashes of the endpoint and of the prompt.
        """
        found = {
            model.ref: {
                "tiles": model.tiles,
                "endpoint": _hash(model.base_url.rstrip("/")),  # the address can be secret
                "prompt": _hash(self._prompt(model, 10)),
            }
            for model in self._models
        }
        return {"language_models": found} if found else {}

    @property
    def rows(self) -> dict[str, str]:
        """Dict from row name in the table of scores to the reference of the language model in this row."""
        return {self._label(model): model.ref for model in self._models}

    def ask(self) -> None:
        """Asks all language models. Questions whose answers are stored in the workspace are not asked again.

        Raises:
            DataError: the cost limit is reached, or a model gave no usable answer.
            OfflineError: an endpoint cannot be reached, is busy, or rejects a request.
        """
        import numpy as np

        from geojepa_cli.baselines.llm import Questions
        from geojepa_cli.baselines.llm_cache import FOLDER, AnswerCache
        from geojepa_cli.evaluate.zero_shot import clip
        from geojepa_cli.sources.chat import ChatClient

        for model in self._models:
            places, pictures = self._places[model.ref], self._pictures[model.ref].read()
            client = ChatClient(model.base_url, self._keys[model.ref])
            cache = AnswerCache(self._workspace.root / FOLDER, client.url)
            try:
                with console.progress(f"ask {model.ref}", len(places)) as meter:
                    questions = Questions(model, client, cache, meter.update)
                    found = questions.ask(partial(self._prompt, model), pictures)
            finally:
                client.close()
            if not np.isfinite(found).any():
                reasons = ", ".join(f"{reason}: {count:,} tiles" for reason, count in questions.tally.failed.items())
                raise DataError(f"`{model.ref}` gave no usable answer ({reasons})", hints.again())
            values = np.full(self._tiles, np.nan)
            values[places] = clip(found, self._data.spec.label.clamp)
            self._asked[model.ref] = _Asked(values, questions.tally)

    def add(self, result: ProbeResult, data: ProbeData, seed: int, seeds: int) -> tuple[ProbeResult, dict[str, Any]]:
        """Adds the scores of all language models to the result of a probe.

        Returns:
            The result with the added scores, and entries of `report.json`, which docs/formats.md describes.
        """
        from geojepa_cli.evaluate.zero_shot import add_zero_shot

        content = {}
        for model in self._models:
            values, tally = self._asked[model.ref]
            result, compared = add_zero_shot(result, data, self._label(model), values, seed, seeds)
            pictures, asked = self._pictures[model.ref], len(self._places[model.ref])
            cost = model.cost(tally.tokens_in, tally.tokens_out)
            content[self._label(model)] = {
                "asked": asked,
                **{key: compared[key] for key in ("answered", "groups")},
                "drawn": pictures.drawn,
                "failed": dict(tally.failed),
                "unusable": dict(tally.unusable),
                "requests": tally.requests,
                "stored_answers": tally.cached,
                "tokens": {"in": tally.tokens_in, "out": tally.tokens_out},
                "cost_usd": None if cost is None else round(cost, 6),
                "prompt": self._prompt(model, 10),
                "compared": compared["compared"],
            }
        return result, {"language_models": content} if content else {}

    def _prompt(self, model: LanguageModel, images: int) -> str:
        from geojepa_cli.tasks.prompt import build_prompt

        return build_prompt(self._data.spec, images, self._side_m, self._pictures[model.ref].drawn > 0)

    def _label(self, model: LanguageModel) -> str:
        return f"{model.ref} ({DRAWN_LABEL})" if self._pictures[model.ref].drawn else model.ref


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_key(model: LanguageModel) -> str | None:
    """Reads the API key of a model from the environment variable that `--api-key-env` names. None without this option.

    Raises:
        UsageError: the environment variable is not set, or has a value that no HTTP header can contain.
    """
    if model.api_key_env is None:
        return None
    key = os.environ.get(model.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        state = "has no valid key" if key else "is not set"
        message = f"the environment variable `{model.api_key_env}` {state}, which `--api-key-env` names"
        raise UsageError(
            message, hints.advice(f"set `{model.api_key_env}` to the API key, or leave out `--api-key-env`")
        )
    return key


def short_model(remains: Remains, ref: str) -> str:
    """Returns the shortest reference to a model of a probe: its name, or `name@id` if there is a newer model."""
    return ref if ref.startswith(PREFIX) else short_ref(remains, "models", ref)


def language_options(params: Mapping[str, Any]) -> Options:
    """Returns the options for the language models of a probe. The user must fill in the address of the API (`URL`)."""
    found = params.get("language_models")
    if not isinstance(found, dict):
        return {}
    tiles = [one.get("tiles") for one in found.values() if isinstance(one, dict)]
    return {"base_url": "URL", "tiles": number(tiles[0] if tiles else None, TILES)}
