"""Geometry vectors of regions that `gpu_pack.py unpack` wrote, for `gpu_train.py` and `train.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.models.geometry_encoders import fourier_encoder, write_geometry_vectors

FILE = "geometry.h5"


def geometry_files(processed: Sequence[Path], config: PretrainConfig, threads: int) -> list[Path] | None:
    """Returns the path of `geometry.h5` of each region, next to its `processed.h5`. Computes missing files.

    Only the encoder `fourier` can compute vectors here, because the weights of other encoders are in a workspace.

    Args:
        processed: path of `processed.h5` of each region.
        config: configuration of the model. None is returned if the model does not read geometry.
        threads: number of CPU threads.
    """
    if Modality.GEOMETRY not in config.needs:
        return None
    found = [path.with_name(FILE) for path in processed]
    for path, target in zip(processed, found, strict=True):
        if target.exists():
            continue
        if config.model.geometry_encoder != "fourier":
            sys.exit(f"`{target}` is missing, and only vectors of the encoder `fourier` can be computed here")
        partial = target.with_suffix(".partial")
        write_geometry_vectors(path, partial, fourier_encoder(), threads)
        partial.replace(target)
    return found
