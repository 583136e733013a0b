// The lock, error messages and types of the HDF5 library.
#include "columns/hdf5.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace geojepa::hdf5 {
namespace {

/// Keeps the deepest message of the error stack, or the system's message where the stack contains one.
herr_t keep_reason(unsigned /*depth*/, const H5E_error2_t* error, void* reason) {
    const std::string text = error->desc == nullptr ? "" : error->desc;
    auto& kept = *static_cast<std::string*>(reason);
    const std::size_t start = text.find("error message = '");
    if (start != std::string::npos) {
        const std::size_t begin = start + std::string_view{"error message = '"}.size();
        kept = text.substr(begin, text.find('\'', begin) - begin);
        return 1;
    }
    kept = text;
    return 0;
}

}  // namespace

std::mutex& library_lock() {
    static std::mutex mutex;
    return mutex;
}

void set_up_library() {
    // After a failed write, flushing at exit would fail too and crash the program.
    static const bool once = H5dont_atexit() >= 0;
    (void)once;
    // HDF5 would print its error stack between the JSON lines on stderr. `take_failure` puts it into the message.
    (void)H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Failure take_failure() {
    std::string reason;
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, &reason);
    (void)H5Eclear2(H5E_DEFAULT);
    if (reason.empty()) {
        return {.reason = "HDF5 gives no reason"};
    }
    // HDF5 gives the system's error as a text only.
    return {.reason = reason, .no_space = reason == std::strerror(ENOSPC)};
}

hid_t file_type(ElementType type) {
    switch (type) {
        case ElementType::u8:
            return H5T_STD_U8LE;
        case ElementType::u16:
            return H5T_STD_U16LE;
        case ElementType::u32:
            return H5T_STD_U32LE;
        case ElementType::u64:
            return H5T_STD_U64LE;
        case ElementType::i32:
            return H5T_STD_I32LE;
        case ElementType::i64:
            return H5T_STD_I64LE;
        case ElementType::f32:
            return H5T_IEEE_F32LE;
        case ElementType::f64:
            return H5T_IEEE_F64LE;
    }
    return H5T_STD_U8LE;
}

Handle select_rows(hid_t space, std::size_t first, std::size_t rows) {
    const int rank = H5Sget_simple_extent_ndims(space);
    std::array<hsize_t, 2> start{first, 0};
    std::array<hsize_t, 2> count{};
    (void)H5Sget_simple_extent_dims(space, count.data(), nullptr);
    count[0] = rows;
    (void)H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    return {H5Screate_simple(rank, count.data(), nullptr), H5Sclose};
}

Handle utf8_string_type(std::size_t size) {
    Handle type{H5Tcopy(H5T_C_S1), H5Tclose};
    (void)H5Tset_size(type.get(), std::max<std::size_t>(size, 1));
    (void)H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
    (void)H5Tset_cset(type.get(), H5T_CSET_UTF8);
    return type;
}

}  // namespace geojepa::hdf5
