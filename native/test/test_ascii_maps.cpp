// The tiles of lines and areas on drawn maps.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ascii_map.hpp"

namespace {

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("a drawn line is in all tiles that it passes, with or without a node there") {
    const AsciiMap map{{
        "a.......        ........",
        "........        ........",
        "........        ........",
        "........        .......b",
        "........        ........",
        "........        ........",
        "..c.....        ........",
        "........        ........",
    }};
    CHECK(map.draw_line("ab") == Rows{"111", "..."});
    CHECK(map.draw_line("ac") == Rows{"1..", "1.."});
    CHECK(map.draw_line("cb") == Rows{"..1", "111"});
    CHECK(map.draw_line("abc") == Rows{"111", "111"});
}

TEST_CASE("a drawn line that returns to a tile has a part for each visit") {
    const AsciiMap map{{
        ".a......b.......",
        "..d.....c.......",
        "..e.....f.......",
        "................",
    }};
    CHECK(map.draw_line("abcdef") == Rows{"22"});
    CHECK(map.draw_line("abcdefb") == Rows{"22"});
    CHECK(map.draw_line("abfea") == Rows{"11"});  // closed: its last part is joined to its first
}

TEST_CASE("a drawn area covers the tiles inside it, and keeps its holes and parts") {
    const AsciiMap map{{
        "........................................",
        ".a....................................b.",
        "........................................",
        "........................................",
        "........................................",
        "................p......q................",
        "................s......r................",
        "........................................",
        "........................................",
        "........................................",
        ".d....................................c.",
        "........................................",
    }};
    CHECK(map.draw_area({"abcd"}) == Rows{"11111", "1###1", "11111"});
    CHECK(map.draw_area({"abcd", "pqrs"}) == Rows{"11111", "1#2#1", "11111"});
    CHECK(map.draw_area({"dcba", "srqp"}) == Rows{"11111", "1#2#1", "11111"});
}

TEST_CASE("a drawn comb is split into its teeth") {
    const AsciiMap map{{
        "........",
        ".a....b.",
        "...fe...",
        "........",
        "........",
        "........",
        ".h.gd.c.",
        "........",
    }};
    CHECK(map.draw_area({"abcdefgh"}) == Rows{"1", "2"});
}
