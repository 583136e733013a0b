// What an object is: an area or a line, a token of the model or not.
#pragma once

#include <vector>

#include "columns/schema.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// Whether a closed way of four or more references is an area by its tags: native/areas.yaml, and `area=yes|no`.
bool is_area(const std::vector<Tag>& tags);

/// Whether a relation's ways are to be put together to an area.
bool is_multipolygon(const std::vector<Tag>& tags);

/// A relation's token: boundary by its type or its tags, restriction by its type.
schema::Token token_of_relation(const std::vector<Tag>& tags);

/// An area's token: a boundary where a `boundary` tag is the only one that says what the area is. Places, too, are
/// only names of what lies within an administrative boundary.
schema::Token token_of_area(const std::vector<Tag>& tags);

}  // namespace geojepa
