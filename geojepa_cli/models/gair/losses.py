"""Losses of GAIR: contrastive losses between ground, image and location, with masks for false negatives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.config.gair import GairLossConfig
from geojepa_cli.models.gair.gair import GairOutput
from geojepa_cli.models.gair.queries import Queries
from geojepa_cli.nn.location import are_near
from geojepa_cli.nn.losses.contrastive import info_nce_pairs, info_nce_queue, share_first, unit
from geojepa_cli.nn.place_queue import PlaceQueue

OBJECT, TAGS = 0, 1  # columns of groups


def gair_losses(output: GairOutput, queries: Queries, queue: PlaceQueue, config: GairLossConfig) -> dict[str, Tensor]:
    """Computes the training loss of GAIR (Liu et al. 2025).

    a are the vectors of what stands at the places, r those read from the images, l those of the locations. All are
    scaled to length 1. The loss is

        image_weight · (CE(a → r) + CE(r → a)) + location_weight · (M(a, l) + M(r, l)) + anchor_weight · anchor

    CE is InfoNCE with the other places of the batch as negatives (INCL). M is InfoNCE of the own location against the
    locations in the queue (SECL). `anchor` is the sum of 1 − cosine between the current and the initial vectors, of the
    ground and of images.

    Args:
        output: output of the model for one batch.
        queries: places of the batch.
        queue: earlier places. Its vectors are in `output`.
        config: weights, temperature and masks.
    Returns:
        Dict of scalars: `loss` is the total to minimise. The others have no gradient: the terms before they are
        multiplied by their weights, and `first`, the share of places whose image vector is the most similar one to
        their ground vector.
    """
    a, r, own, others = (unit(x) for x in (output.ground, output.local, output.location, output.queue))
    tau = config.temperature
    own_groups, earlier = queries.groups, queue.groups
    left_out = same_place(queries.lonlat, own_groups, queries.lonlat, own_groups, config.false_negative_m)
    not_for_image = same_place(queries.lonlat, own_groups, queue.lonlat, earlier, config.false_negative_m)
    not_for_image |= ~queue.filled()
    not_for_ground = not_for_image
    if config.equal_tags:
        left_out |= same_tags(own_groups, own_groups)
        not_for_ground = not_for_image | same_tags(own_groups, earlier)
    terms = {
        "ground_to_image": _mean(info_nce_pairs(a, r, left_out, tau)),
        "image_to_ground": _mean(info_nce_pairs(r, a, left_out.t(), tau)),
    }
    terms["ground_to_location"] = _mean(info_nce_queue(a, own, others, not_for_ground, tau))
    terms["image_to_location"] = _mean(info_nce_queue(r, own, others, not_for_image, tau))
    loss = config.image_weight * (terms["ground_to_image"] + terms["image_to_ground"])
    loss = loss + config.location_weight * (terms["ground_to_location"] + terms["image_to_location"])
    if output.pairs:
        anchors = [_mean(1.0 - F.cosine_similarity(now.float(), first.float())) for now, first in output.pairs]
        terms["anchor"] = torch.stack(anchors).sum()
        loss = loss + config.anchor_weight * terms["anchor"]
    parts = {name: value.detach() for name, value in terms.items()}
    return {"loss": loss, **parts, "first": share_first(a.detach(), r.detach(), left_out)}


def same_place(lonlat: Tensor, groups: Tensor, others: Tensor, other_groups: Tensor, distance_m: float) -> Tensor:
    """Returns True for each pair of places that are of the same object, or closer than `distance_m` metres.

    Args:
        lonlat, groups: places and their groups. float64 [M, 2], int64 [M, 2]
        others, other_groups: places to compare with, and their groups. float64 [N, 2], int64 [N, 2]
        distance_m: distance in metres. With 0, only the objects are compared.
    Returns:
        bool [M, N]
    """
    found = groups[:, OBJECT, None] == other_groups[None, :, OBJECT]
    return found | are_near(lonlat, others, distance_m) if distance_m else found


def same_tags(groups: Tensor, others: Tensor) -> Tensor:
    """Returns True for each pair of places whose entities have equal tags. int64 [M, 2], int64 [N, 2] -> bool [M, N]

    What stands at one place then describes the other place as well. A location in the queue is still a negative of an
    image, because the image shows one place only.
    """
    return groups[:, TAGS, None] == others[None, :, TAGS]


def _mean(losses: Tensor) -> Tensor:
    return losses.sum() / max(len(losses), 1)  # 0 for a batch without places
