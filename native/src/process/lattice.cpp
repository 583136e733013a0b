// Decides by the signs of cross products.
#include "process/lattice.hpp"

namespace geojepa {
namespace {

bool bounds_apart(const LatticeSegment& s, const LatticeSegment& t) {
    return std::max(s.from.x, s.to.x) < std::min(t.from.x, t.to.x) ||
           std::max(t.from.x, t.to.x) < std::min(s.from.x, s.to.x) ||
           std::max(s.from.y, s.to.y) < std::min(t.from.y, t.to.y) ||
           std::max(t.from.y, t.to.y) < std::min(s.from.y, s.to.y);
}

bool same_side(std::int64_t a, std::int64_t b) {
    return (a > 0 && b > 0) || (a < 0 && b < 0);
}

/// Contact of segments that lie on one line and whose bounds meet.
Contact collinear_contact(const LatticeSegment& s, const LatticeSegment& t) {
    const LatticePoint low{std::max(std::min(s.from.x, s.to.x), std::min(t.from.x, t.to.x)),
                           std::max(std::min(s.from.y, s.to.y), std::min(t.from.y, t.to.y))};
    const LatticePoint high{std::min(std::max(s.from.x, s.to.x), std::max(t.from.x, t.to.x)),
                            std::min(std::max(s.from.y, s.to.y), std::max(t.from.y, t.to.y))};
    if (low != high) {
        return Contact::overlap;
    }
    const bool end_of_s = low == s.from || low == s.to;
    const bool end_of_t = low == t.from || low == t.to;
    return end_of_s && end_of_t ? Contact::shared_end : Contact::touch;
}

}  // namespace

Contact contact(const LatticeSegment& s, const LatticeSegment& t) {
    if (bounds_apart(s, t)) {
        return Contact::none;
    }
    const std::int64_t t_from = cross(s.from, s.to, t.from);
    const std::int64_t t_to = cross(s.from, s.to, t.to);
    if (same_side(t_from, t_to)) {
        return Contact::none;
    }
    const std::int64_t s_from = cross(t.from, t.to, s.from);
    const std::int64_t s_to = cross(t.from, t.to, s.to);
    if (same_side(s_from, s_to)) {
        return Contact::none;
    }
    if (t_from == 0 && t_to == 0 && s_from == 0 && s_to == 0) {
        return collinear_contact(s, t);
    }
    const bool end_of_t = t_from == 0 || t_to == 0;
    const bool end_of_s = s_from == 0 || s_to == 0;
    if (end_of_s && end_of_t) {
        return Contact::shared_end;
    }
    return end_of_s || end_of_t ? Contact::touch : Contact::cross;
}

bool inside_segment(LatticePoint point, const LatticeSegment& segment) {
    return contact({point, point}, segment) == Contact::touch;
}

}  // namespace geojepa
