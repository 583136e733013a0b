// The tag filter, the vocabulary, and the classes that tags and roles give.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "columns/vocabulary.hpp"
#include "read/areas.hpp"
#include "read/tags.hpp"

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

TEST_CASE("the default list drops bookkeeping and keeps what describes the place") {
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

namespace {

using Numbered = std::vector<std::pair<std::string, std::vector<std::uint32_t>>>;

std::string joined(Tag tag) {
    std::string text{tag.key};
    text += '=';
    text += tag.value;
    return text;
}

Numbered all_of(Vocabulary& vocabulary) {
    Numbered found;
    vocabulary.for_each([&](Tag tag, std::span<const std::uint32_t> numbers) {
        found.emplace_back(joined(tag), std::vector<std::uint32_t>{numbers.begin(), numbers.end()});
    });
    return found;
}

}  // namespace

TEST_CASE("the vocabulary numbers a pair once and sorts by bytes") {
    Vocabulary vocabulary{std::filesystem::temp_directory_path().string(), 1U << 20U};
    CHECK(vocabulary.intern({"b", "x"}) == 0);
    CHECK(vocabulary.intern({"a", "\xC3\x96"}) == 1);
    CHECK(vocabulary.intern({"a", "z"}) == 2);
    CHECK(vocabulary.intern({"b", "x"}) == 0);
    CHECK(vocabulary.intern({"bx", ""}) == 3);
    CHECK(vocabulary.intern({"", "bx"}) == 4);
    CHECK(all_of(vocabulary) == Numbered{{"=bx", {4}}, {"a=z", {2}}, {"a=\xC3\x96", {1}}, {"b=x", {0}}, {"bx=", {3}}});
}

TEST_CASE("a vocabulary that outgrows its memory comes out as one that does not") {
    std::vector<std::map<std::string, std::size_t>> runs;
    for (const std::size_t bytes : {std::size_t{1} << 30U, std::size_t{100000}, std::size_t{1}}) {
        Vocabulary vocabulary{std::filesystem::temp_directory_path().string(), bytes};
        std::mt19937 random{3};  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same pairs in every run
        std::map<std::uint32_t, std::string> given;
        for (int i = 0; i < 20000; ++i) {
            const std::string key = std::to_string(random() % 40);
            const std::string value = std::to_string(random() % 200);
            given[vocabulary.intern({key, value})] = joined({key, value});
        }
        CHECK(given.size() == vocabulary.numbers());
        CHECK((vocabulary.spilled_bytes() > 0) == (bytes < 1U << 30U));
        std::map<std::string, std::size_t> pairs;
        for (const auto& [text, numbers] : all_of(vocabulary)) {
            CHECK(pairs.emplace(text, pairs.size()).second);
            for (const std::uint32_t number : numbers) {
                CHECK(given.at(number) == text);
                given.erase(number);
            }
        }
        CHECK(given.empty());
        runs.push_back(pairs);
    }
    CHECK(runs[0] == runs[1]);
    CHECK(runs[0] == runs[2]);
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

TEST_CASE("only members with the role of a ring make rings") {
    for (const char* role : {"", "outer", "inner", "exclave", "enclave", "Outer", "INNER", " outer", "outer ", " \t"}) {
        CAPTURE(role);
        CHECK(is_ring_role(role));
    }
    for (const char* role :
         {"subarea", "label", "admin_centre", "outline", "part", "main_stream", "outer1", "out er"}) {
        CAPTURE(role);
        CHECK_FALSE(is_ring_role(role));
    }
}
