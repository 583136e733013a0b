"""Forms of labels. A head is fitted to labels in one form, and its predictions are changed back to plain labels.

A head that minimises the squared error predicts a mean, but heads are compared by their absolute error, which the
median minimises. Where many labels are small and a few are large, as for counts, the square of the mean of their square
roots is closer to the median than their mean is. Where all labels are 0 or 1, the median is one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class LabelForm(NamedTuple):
    """A form of labels.

    Attributes:
        name: name of the form.
        apply: function that changes labels to this form, [n] -> [n].
        invert: function that changes predictions in this form to labels, [n] -> [n].
    """

    name: str
    apply: Callable[[Floats], Floats]
    invert: Callable[[Floats], Floats]


def _same(values: Floats) -> Floats:
    return values


def _root(values: Floats) -> Floats:
    roots: Floats = np.sqrt(values.clip(min=0.0))
    return roots


def _square(values: Floats) -> Floats:
    squares: Floats = np.square(values.clip(min=0.0))
    return squares


def _class(values: Floats) -> Floats:
    return (values >= 0.5).astype(np.float64)


PLAIN = LabelForm("plain", _same, _same)
ROOT = LabelForm("square root", _root, _square)
CLASS = LabelForm("class", _same, _class)  # predictions are rounded to 0 or 1


def forms_of(labels: Floats) -> tuple[LabelForm, ...]:
    """Returns the forms that are suitable for labels [n]. The first is always `PLAIN`.

    Labels that are all 0 or 1 can also be predicted as classes. Other labels of which none is negative can also be
    predicted through their square roots.
    """
    if bool(np.isin(labels, (0.0, 1.0)).all()):
        return PLAIN, CLASS
    return (PLAIN, ROOT) if float(labels.min()) >= 0.0 else (PLAIN,)


def fitted_forms(forms: Sequence[LabelForm]) -> list[tuple[LabelForm, list[LabelForm]]]:
    """Returns the forms to which a head is fitted, each with the forms in which its predictions can be read.

    Classes are rounded predictions of plain labels, so no head is fitted to them.
    """
    return [(form, [one for one in forms if one in (form, CLASS)]) for form in forms if form is not CLASS]


def best_form(
    forms: Sequence[LabelForm], values: Floats, labels: Floats, clamp: tuple[float, float] | None
) -> tuple[float, LabelForm]:
    """Returns the lowest mean absolute error of predictions [n] that are read in one of several forms, and the form.

    Args:
        forms: the forms. If several have the lowest error, the first of them is returned.
        values: predictions before they are changed to labels.
        labels: true labels.
        clamp: minimum and maximum to which predicted labels are clipped. None does not clip them.
    """
    read = [form.invert(values) for form in forms]
    errors = [float(np.abs((one if clamp is None else one.clip(*clamp)) - labels).mean()) for one in read]
    place = int(np.argmin(errors))
    return errors[place], forms[place]


class Prediction(NamedTuple):
    """Predictions of a head for m tiles, each float64 [m].

    Attributes:
        labels: predicted labels.
        scores: `labels` before they were rounded to 0 or 1, for figures that need an order of the tiles; otherwise the
            same as `labels`.
    """

    labels: Floats
    scores: Floats


def predict_labels(form: LabelForm, values: Floats, clamp: tuple[float, float]) -> Prediction:
    """Changes predictions in a form, [m], to predicted labels, limited to the range `clamp`."""
    labels = np.asarray(form.invert(values).clip(*clamp), np.float64)
    return Prediction(labels, np.asarray(values.clip(*clamp), np.float64) if form is CLASS else labels)
