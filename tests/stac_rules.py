"""Rules of STAC for tests: the core by the schemas in pystac, the extensions as they are documented.

The extensions' own schemas are on the web, which tests do not reach. Their rules are stated here in our words: required
keys, closed lists of keys with the prefix, and allowed values.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft7Validator
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

EMBEDDINGS = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
MLM = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json"
NUMBERS = {"type": "array", "items": {"type": "number"}}
LINK = {"type": "object", "required": ["rel", "href"]}
LAYOUT = {
    "type": "object",
    "required": ["layout_type"],
    "properties": {
        "layout_type": {"enum": ["regular_grid", "variable_grid", "named_grid"]},
        "grid_id": {"type": "string"},
        "grid_definition": LINK,
    },
}
QUANTIZATION = {
    "type": "object",
    "required": ["method", "original_dtype"],
    "properties": {
        **{key: {"type": "string"} for key in ("method", "original_dtype", "quantized_dtype")},
        "scale": NUMBERS,
        "offset": NUMBERS,
        "link": LINK,
    },
    "additionalProperties": False,
}
TEXTS = {"type": "array", "items": {"type": "string"}}
EXPRESSION = {"type": "object", "required": ["format", "expression"], "properties": {"format": {"type": "string"}}}
ITEM_KEYS: dict[str, Any] = {
    "emb:runtime_parameters": {"type": "object"},
    "emb:preprocessing": EXPRESSION,
    "emb:postprocessing": EXPRESSION,
    "emb:fit_for_use": TEXTS,
    "emb:uncertainty": {"type": "object"},
    "emb:quantization": QUANTIZATION,
}
COLLECTION_KEYS: dict[str, Any] = {
    "emb:type": {"enum": ["pixel", "chip"]},
    "emb:dimensions": {"type": "integer", "minimum": 1},
    "emb:chip_layout": LAYOUT,
    "emb:temporal_resolution": {"type": "string"},
    "emb:fit_for_use": TEXTS,
    "emb:uncertainty": {"type": "object"},
}
TENSOR = {
    "type": "object",
    "required": ["shape", "dim_order", "data_type"],
    "properties": {
        "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": -1}},
        "dim_order": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "^[a-z_-]+$"}},
        "data_type": {"enum": ["float16", "float32", "int8", "uint8"]},
    },
}


def closed(prefix: str, keys: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """A schema of an object whose keys with a prefix are known."""
    return {
        "type": "object",
        "required": required,
        "properties": keys,
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }


MLM_KEYS: dict[str, Any] = {
    "mlm:name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"},
    "mlm:architecture": {"type": "string"},
    "mlm:tasks": {"type": "array", "items": {"const": "similarity-search"}},
    "mlm:framework": {"const": "PyTorch"},
    "mlm:total_parameters": {"type": "integer", "minimum": 1},
    "mlm:pretrained": {"type": "boolean"},
    "mlm:pretrained_source": {"type": ["string", "null"]},
    "mlm:input": {
        "type": "array",
        "items": {"required": ["name", "input"], "properties": {"bands": {"maxItems": 0}, "input": TENSOR}},
    },
    "mlm:output": {
        "type": "array",
        "items": {"required": ["name", "tasks", "result"], "properties": {"result": TENSOR}},
    },
}
MLM_REQUIRED = ["mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"]


def check_stac(content: dict[str, Any]) -> None:
    """Fails unless an item or a collection is valid STAC, and follows the rules of its extensions."""
    kind = "item" if content["type"] == "Feature" else "collection"
    assert content["stac_version"] == "1.0.0"  # the schema of the embedding extension requires it
    cache = {uri: Resource.from_contents(schema, DRAFT7) for uri, schema in get_local_schema_cache().items()}
    uri = f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"
    core = Draft7Validator({"$ref": uri}, registry=Registry().with_resources(cache.items()))
    core.validate({**content, "stac_version": "1.1.0"})
    used = content["stac_extensions"]
    assert set(used) <= {EMBEDDINGS, MLM}
    prefixes = {re.match("[a-z]+", key)[0] for key in (*content, *content.get("properties", {})) if ":" in key}
    assert ("emb" in prefixes) == (EMBEDDINGS in used) and ("mlm" in prefixes) == (MLM in used)
    if EMBEDDINGS in used and kind == "item":
        Draft7Validator(closed("emb", ITEM_KEYS, [])).validate(content["properties"])
        assert "embeddings" in content["assets"]
    elif EMBEDDINGS in used:
        required = ["emb:type", "emb:dimensions", "data_type", "links"]
        Draft7Validator(closed("emb", COLLECTION_KEYS, required)).validate(content)
        assert {"emb:model", "emb:source-data"} <= {link["rel"] for link in content["links"]}
    if MLM in used:
        Draft7Validator(closed("mlm", MLM_KEYS, MLM_REQUIRED)).validate(content["properties"])
        weights = [one for one in content["assets"].values() if "mlm:model" in one["roles"]]
        assert [one["mlm:artifact_type"] for one in weights] == ["safetensors.torch.save_file"]
