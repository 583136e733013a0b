// Classifies objects by their tags and roles: areas and lines, tokens of the model and others.
#pragma once

#include <string_view>
#include <vector>

#include "columns/schema.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// Whether tags make an area of a closed way with four or more references: native/areas.yaml, and `area=yes|no`.
bool is_area(const std::vector<Tag>& tags);

/// Whether a relation's member ways form an area: `type=multipolygon` or `type=boundary`.
bool is_multipolygon(const std::vector<Tag>& tags);

/// Whether a member way with this role is a part of the area's rings: `outer`, `inner`, the empty role, and the older
/// `exclave` and `enclave`; upper case and blanks around it do not matter. Members with other roles (`subarea`,
/// `label`, `admin_centre`, `outline`, `part`, ...) belong to the relation, but bound nothing.
bool is_ring_role(std::string_view role);

/// A relation's token: boundary by its type or its tags, restriction by its type.
schema::Token token_of_relation(const std::vector<Tag>& tags);

/// An area's token: a boundary where no key but `boundary` and `place` makes it an area. A place is only the name of
/// the land within an administrative boundary.
schema::Token token_of_area(const std::vector<Tag>& tags);

}  // namespace geojepa
