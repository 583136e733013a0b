"""Options of the images that are drawn from the map: `tile --imagery drawn --draw KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.images import DRAWN, DRAWN_ATTRIBUTION
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.arguments import check_texts
from geojepa_cli.stages.rebuild import Options
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.config.drawing import DrawingConfig

SOURCE_IMAGERY = "source"  # the imagery that `fetch` stored
IMAGERY = (SOURCE_IMAGERY, DRAWN)
Settings = Mapping[str, object] | str | Sequence[str]


def check_drawing(imagery: str, draw: Settings) -> DrawingConfig | None:
    """Returns the settings of the images to draw, or None if the images are made from the imagery of the source.

    Args:
        imagery: `source` or `drawn`.
        draw: settings, such as `{"missing": 0.2}` or `["missing=0.2"]`.

    Raises:
        UsageError: `imagery` is unknown, a setting is not valid, or settings are given without `drawn`.
    """
    pairs = (
        [f"{key}={value}" for key, value in draw.items()] if isinstance(draw, Mapping) else check_texts("draw", draw)
    )
    if imagery not in IMAGERY:
        message = f"`--imagery {imagery}` is unknown: expected {' or '.join(f'`{name}`' for name in IMAGERY)}"
        fetched = hints.run("fetch", pbf="FILE", name="NAME", imagery=imagery).noting("for aerial imagery")
        raise UsageError(message, hints.again(imagery=DRAWN).or_else(fetched))
    if imagery == DRAWN:
        from geojepa_cli.config.drawing import load_drawing

        return load_drawing(pairs)
    if pairs:
        raise UsageError("`--draw` requires `--imagery drawn`", hints.again(imagery=DRAWN))
    return None


def drawing_params(drawing: DrawingConfig) -> dict[str, Any]:
    """Converts the settings of drawn images to parameters of the `images/` artifact that contains them."""
    from geojepa_cli.config.drawing import APPEARANCE

    return {"imagery": DRAWN, "appearance": APPEARANCE, **drawing.model_dump()}


def drawing_options(params: Mapping[str, Any]) -> Options:
    """Converts the parameters of drawn images to options of `tile`. Returns an empty dict for other images."""
    if params.get("imagery") != DRAWN:
        return {}
    from geojepa_cli.config.drawing import DrawingConfig

    fields = DrawingConfig.model_fields
    changed = {key: params[key] for key, field in fields.items() if params.get(key, field.default) != field.default}
    return {"imagery": DRAWN, "draw": changed or None}


def shows_drawn_images(*artifacts: Artifact | None) -> bool:
    """Returns True if an artifact consists of drawn images, or was made from drawn images."""
    return any(DRAWN_ATTRIBUTION in one.attribution for one in artifacts if one is not None)
