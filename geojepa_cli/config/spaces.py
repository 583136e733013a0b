"""Names of the forms in which vectors are compared. `search/space.py` defines them."""

from __future__ import annotations

from typing import Literal, get_args

Form = Literal["raw", "centred", "balanced", "whitened"]
FORMS: tuple[Form, ...] = get_args(Form)
DEFAULT_FORM: Form = "balanced"  # of searches, and of figures about them
