// The element types of columns.
#pragma once

#include <cstdint>
#include <type_traits>

namespace geojepa {

enum class ElementType { u8, u16, u32, u64, i32, i64, f32, f64 };

template <typename T>
constexpr ElementType element_type() {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        return ElementType::u8;
    } else if constexpr (std::is_same_v<T, std::uint16_t>) {
        return ElementType::u16;
    } else if constexpr (std::is_same_v<T, std::uint32_t>) {
        return ElementType::u32;
    } else if constexpr (std::is_same_v<T, std::uint64_t>) {
        return ElementType::u64;
    } else if constexpr (std::is_same_v<T, std::int32_t>) {
        return ElementType::i32;
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
        return ElementType::i64;
    } else if constexpr (std::is_same_v<T, float>) {
        return ElementType::f32;
    } else {
        static_assert(std::is_same_v<T, double>, "no column has this type");
        return ElementType::f64;
    }
}

}  // namespace geojepa
