// Decimal digits are kept as an integer and a power of ten, so no binary fraction rounds a coordinate.
#include "read/xml_number.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace geojepa {
namespace {

constexpr std::size_t most_digits = 18;  // as many as 64 bits hold in any case
constexpr int most_exponent = 1000;      // beyond this every number is 0 or too large
constexpr int decimals = 8;              // those of the unit, and one more to round by

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// digits · 10^exponent
struct Decimal {
    std::uint64_t digits = 0;
    int exponent = 0;
};

/// Takes digits with at most one point off the front of `text`. Nothing where there is no digit.
std::optional<Decimal> take_digits(std::string_view& text) {
    Decimal decimal;
    std::size_t significant = 0;
    bool point = false;
    bool any = false;
    for (; !text.empty() && (is_digit(text.front()) || (text.front() == '.' && !point)); text.remove_prefix(1)) {
        if (text.front() == '.') {
            point = true;
            continue;
        }
        any = true;
        if (significant < most_digits) {
            decimal.digits = decimal.digits * 10 + static_cast<std::uint64_t>(text.front() - '0');
            significant += decimal.digits > 0 ? 1 : 0;
            decimal.exponent -= point ? 1 : 0;
        } else {
            decimal.exponent += point ? 0 : 1;  // a digit that no longer counts
        }
    }
    return any ? std::optional{decimal} : std::nullopt;
}

std::optional<int> take_exponent(std::string_view& text) {
    if (text.empty() || (text.front() != 'e' && text.front() != 'E')) {
        return 0;
    }
    text.remove_prefix(1);
    const bool negative = text.starts_with('-');
    text.remove_prefix(negative || text.starts_with('+') ? 1 : 0);
    if (text.empty()) {
        return std::nullopt;
    }
    int exponent = 0;
    for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) {
        exponent = std::min(exponent * 10 + (text.front() - '0'), most_exponent);
    }
    return negative ? -exponent : exponent;
}

/// The number in units of 10^-8, cut off; nothing where it is too large for a coordinate.
std::optional<std::int64_t> in_fine_units(Decimal decimal) {
    constexpr std::uint64_t limit = std::uint64_t{1} << 40U;
    int shift = decimal.exponent + decimals;
    for (; shift < 0 && decimal.digits > 0; ++shift) {
        decimal.digits /= 10;
    }
    for (; shift > 0 && decimal.digits > 0; --shift) {
        if (decimal.digits > limit) {
            return std::nullopt;
        }
        decimal.digits *= 10;
    }
    return static_cast<std::int64_t>(decimal.digits);
}

}  // namespace

std::optional<std::int32_t> parse_degrees(std::string_view text) {
    const bool negative = text.starts_with('-');
    text.remove_prefix(negative || text.starts_with('+') ? 1 : 0);
    std::optional<Decimal> decimal = take_digits(text);
    const std::optional<int> exponent = decimal ? take_exponent(text) : std::nullopt;
    if (!exponent || !text.empty()) {
        return std::nullopt;
    }
    decimal->exponent += *exponent;
    const std::optional<std::int64_t> fine = in_fine_units(*decimal);
    if (!fine) {
        return std::nullopt;
    }
    const std::int64_t units = (*fine + 5) / 10;
    if (units >= std::numeric_limits<std::int32_t>::max()) {
        return std::nullopt;
    }
    return static_cast<std::int32_t>(negative ? -units : units);
}

std::optional<std::int64_t> parse_whole(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc{} && end == text.data() + text.size() && !text.empty();
    return whole ? std::optional{number} : std::nullopt;
}

}  // namespace geojepa
