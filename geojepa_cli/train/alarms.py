"""Detects collapsed representations in the figures of the monitor, and writes the texts of the warnings.

The thresholds lie between healthy and collapsed models, with a wide margin on both sides. The comments below give the
values that were measured on real tiles (Columbus and State College, 250 steps, 64 dimensions) and on random tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from geojepa_cli.metrics.spread import Spread

# Relative spread of vectors that are nearly equal. Healthy models have 0.26 and more. A model without regulariser and
# EMA falls from 0.5 to 0.04 within 50 steps; its effective rank stays high. Rounding in bfloat16 alone gives 0.004.
EQUAL = 0.05
# Effective rank of collapsed vectors: at most this share of the largest possible rank, and at most `LOW_RANK` if that
# is more. Healthy models have 35 % and more. Vectors on a line have 1; tile vectors pooled from them have up to 3.
LOW_RANK_SHARE = 0.05
LOW_RANK = 2.0
# Largest share of dead dimensions of a healthy model, which has at most 2.5 %, in its summary.
DEAD_SHARE = 0.1
# Smallest relative change of vectors if the data of a modality are exchanged. Tags change entity vectors by 1.4, which
# is the largest value to expect. Images change tile vectors by 1.0, less if a tile has few patches.
UNUSED = 0.01
MIN_VECTORS = 16  # with fewer vectors, figures say nothing about the model
GRACE_STEPS = 100  # no warning before this step: vectors of an untrained model change quickly


class Finding(NamedTuple):
    """A detected problem of the representations, such as a collapse.

    Attributes:
        kind: kind of the problem and the vectors concerned, such as `rank tiles`.
        sentence: text of the warning, in which the step replaces `{step}`.
    """

    kind: str
    sentence: str


def find_collapse(name: str, label: str, found: Spread, rank: float, n: int, dim: int) -> list[Finding]:
    """Finds collapses in the vectors of one kind: constant vectors, low effective rank, or dead dimensions.

    Args:
        name: name of the vectors in the figures, such as `tiles`.
        label: name of the vectors in sentences, such as `tile vectors`.
        found: spread of the vectors.
        rank: effective rank of the vectors, after their mean is subtracted.
        n: number of vectors.
        dim: number of dimensions.
    """
    if n < MIN_VECTORS:
        return []
    if found.relative <= EQUAL:
        words = f"all {label} are nearly equal (they differ by {100 * found.relative:.1f} % of their length)"
        return [Finding(f"constant {name}", f"representations collapsed at step {{step}}: {words}")]
    findings = []
    if rank <= max(LOW_RANK, LOW_RANK_SHARE * min(n - 1, dim)):
        words = f"effective rank {rank:.0f} of {min(n - 1, dim)} ({label})"
        findings.append(Finding(f"rank {name}", f"representations collapsed at step {{step}}: {words}"))
    if found.dead > DEAD_SHARE:
        words = f"{round(found.dead * dim):,} of {dim:,} dimensions of the {label} are constant"
        findings.append(Finding(f"dead {name}", f"dead dimensions at step {{step}}: {words}"))
    return findings


def find_unused(modality: str, change: float) -> list[Finding]:
    """Returns a finding if a modality does not change the vectors.

    Args:
        modality: name of the modality.
        change: relative change of the vectors when entities (or tiles) exchange their data of this modality.
    """
    if change > UNUSED:
        return []
    words = f"exchanging it between entities or tiles changes the vectors by {100 * change:.1f} %"
    return [Finding(f"unused {modality}", f"modality `{modality}` is constant at step {{step}}: {words}")]


@dataclass
class Alarms:
    """Decides which findings of the monitor become warnings.

    The monitor checks the model at regular steps. A warning is given if two checks in a row have the same finding, so
    one unusual check is ignored. If the check before is more than `GRACE_STEPS` steps ago, one check is enough, because
    a collapse would otherwise be named late. The warning is repeated only if the finding disappeared in between.

    Attributes:
        step: step of the last check.
        suspected: kinds of the findings of the last check.
        active: kinds of the findings of the last check for which a warning was given.
    """

    step: int = 0
    suspected: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)

    def update(self, findings: Sequence[Finding], step: int) -> list[str]:
        """Adds the findings of a check, and returns the texts of the warnings to give."""
        kinds = [finding.kind for finding in findings]
        seen = kinds if step - self.step > GRACE_STEPS else self.suspected
        confirmed = set(seen) & set(kinds) if step >= GRACE_STEPS else set()
        new = [finding for finding in findings if finding.kind in confirmed - set(self.active)]
        self.active = sorted(set(kinds) & (set(self.active) | confirmed))
        self.suspected, self.step = kinds, step
        return [finding.sentence.format(step=f"{step:,}") for finding in new]

    def as_json(self) -> dict[str, Any]:
        """Returns the state of the alarms, for a checkpoint."""
        return {"step": self.step, "suspected": list(self.suspected), "active": list(self.active)}
