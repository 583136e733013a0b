// The tag filter, the vocabulary, and what tags say about an object.
#include <doctest/doctest.h>

#include "areas.hpp"
#include "tags.hpp"

using namespace geojepa;

TEST_CASE("patterns match whole keys, beginnings and ends") {
    const KeySet keys{{"source", "tiger:*", "*:source"}};
    CHECK(keys.contains("source"));
    CHECK(keys.contains("tiger:county"));
    CHECK(keys.contains("name:source"));
    CHECK_FALSE(keys.contains("sources"));
    CHECK_FALSE(keys.contains("tiger"));
    CHECK_FALSE(keys.contains("source:name"));
}

TEST_CASE("the default list drops bookkeeping and keeps what tells about the place") {
    const TagFilter filter{{}, {}};
    CHECK_FALSE(filter.keeps("tiger:cfcc"));
    CHECK_FALSE(filter.keeps("created_by"));
    CHECK(filter.keeps("highway"));
    CHECK(filter.keeps("resource"));
}

TEST_CASE("keep overrides the default list, drop overrides both") {
    const TagFilter filter{{"tiger:*"}, {"tiger:county", "name*"}};
    CHECK(filter.keeps("tiger:cfcc"));
    CHECK_FALSE(filter.keeps("tiger:county"));
    CHECK_FALSE(filter.keeps("name:de"));
}

TEST_CASE("the vocabulary numbers a pair once and sorts by bytes") {
    Vocabulary vocabulary;
    CHECK(vocabulary.intern({"b", "x"}) == 0);
    CHECK(vocabulary.intern({"a", "\xC3\x96"}) == 1);
    CHECK(vocabulary.intern({"a", "z"}) == 2);
    CHECK(vocabulary.intern({"b", "x"}) == 0);
    CHECK(vocabulary.intern({"bx", ""}) == 3);
    CHECK(vocabulary.sorted() == std::vector<std::uint32_t>{2, 1, 0, 3});
}

TEST_CASE("closed ways are areas by the table, and by area=yes or no") {
    CHECK(is_area({{"building", "yes"}}));
    CHECK_FALSE(is_area({{"building", "no"}}));
    CHECK_FALSE(is_area({{"highway", "residential"}}));
    CHECK(is_area({{"highway", "rest_area"}}));
    CHECK(is_area({{"highway", "pedestrian"}, {"area", "yes"}}));
    CHECK_FALSE(is_area({{"leisure", "park"}, {"area", "no"}}));
    CHECK(is_area({{"leisure", "park"}}));
    CHECK_FALSE(is_area({{"leisure", "track"}}));
    CHECK_FALSE(is_area({{"barrier", "fence"}}));
}

TEST_CASE("an area is a boundary where nothing else says what it is") {
    using schema::Token;
    CHECK(token_of_area({{"boundary", "administrative"}, {"place", "city"}}) == Token::boundary);
    CHECK(token_of_area({{"boundary", "national_park"}, {"leisure", "nature_reserve"}}) == Token::entity);
    CHECK(token_of_area({{"landuse", "forest"}}) == Token::entity);
    CHECK(token_of_relation({{"type", "boundary"}, {"landuse", "forest"}}) == Token::boundary);
    CHECK(token_of_relation({{"type", "restriction:hgv"}}) == Token::restriction);
    CHECK(token_of_relation({{"type", "route"}}) == Token::entity);
    CHECK(token_of_relation({{"type", "multipolygon"}, {"boundary", "census"}}) == Token::boundary);
}
