// The rules of native/areas.yaml, looked up by key.
#include "read/areas.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <unordered_map>

#include "read/area_table.hpp"

namespace geojepa {
namespace {

const AreaRule* rule_of(std::string_view key) {
    static const auto rules = [] {
        std::unordered_map<std::string_view, const AreaRule*> by_key;
        for (const AreaRule& rule : area_table()) {
            by_key.emplace(rule.key, &rule);
        }
        return by_key;
    }();
    const auto found = rules.find(key);
    return found == rules.end() ? nullptr : found->second;
}

bool says_area(const Tag& tag) {
    const AreaRule* rule = rule_of(tag.key);
    if (rule == nullptr || tag.value == "no") {
        return false;
    }
    const bool listed = std::find(rule->values.begin(), rule->values.end(), tag.value) != rule->values.end();
    switch (rule->match) {
        case AreaRule::Match::any:
            return true;
        case AreaRule::Match::only:
            return listed;
        case AreaRule::Match::except:
            return !listed;
    }
    return false;
}

}  // namespace

bool is_area(const std::vector<Tag>& tags) {
    const std::string_view area = value_of(tags, "area");
    if (area == "yes" || area == "no") {
        return area == "yes";
    }
    return std::any_of(tags.begin(), tags.end(), says_area);
}

bool is_multipolygon(const std::vector<Tag>& tags) {
    const std::string_view type = value_of(tags, "type");
    return type == "multipolygon" || type == "boundary";
}

bool is_ring_role(std::string_view role) {
    constexpr std::array<std::string_view, 5> ring_roles = {"outer", "inner", "", "exclave", "enclave"};
    constexpr std::string_view blanks = " \t\r\n";
    role.remove_prefix(std::min(role.find_first_not_of(blanks), role.size()));
    role = role.substr(0, role.find_last_not_of(blanks) + 1);
    std::string lower{role};
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    return std::find(ring_roles.begin(), ring_roles.end(), lower) != ring_roles.end();
}

schema::Token token_of_relation(const std::vector<Tag>& tags) {
    const std::string_view type = value_of(tags, "type");
    if (type == "boundary") {
        return schema::Token::boundary;
    }
    if (type.starts_with("restriction")) {
        return schema::Token::restriction;
    }
    return type == "multipolygon" ? token_of_area(tags) : schema::Token::entity;
}

schema::Token token_of_area(const std::vector<Tag>& tags) {
    const std::string_view boundary = value_of(tags, "boundary");
    if (boundary.empty() || boundary == "no") {
        return schema::Token::entity;
    }
    const auto says_more = [](const Tag& tag) { return tag.key != "boundary" && tag.key != "place" && says_area(tag); };
    return std::any_of(tags.begin(), tags.end(), says_more) ? schema::Token::entity : schema::Token::boundary;
}

}  // namespace geojepa
