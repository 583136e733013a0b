// HDF5 datasets with the properties that keep a file mappable and its bytes reproducible.
#include "columns/column_writer.hpp"

#include <array>
#include <filesystem>
#include <map>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

#include "columns/hdf5.hpp"
#include "errors.hpp"

namespace geojepa {

using hdf5::Handle;

struct ColumnWriter::State {
    std::string path;
    Handle file;
    std::map<std::string, Handle> datasets;
    bool complete = false;

    [[noreturn]] void fail(const std::string& what) const {
        const hdf5::Failure failure = hdf5::take_failure();
        throw OutputError("cannot write " + what + " of `" + path + "`: " + failure.reason,
                          {.advice = "free some space there, or write elsewhere", .no_space = failure.no_space});
    }

    /// Creates the group of a table. Groups that HDF5 creates implicitly with a dataset would store times.
    void ensure_group(const std::string& group) const {
        if (H5Lexists(file.get(), group.c_str(), H5P_DEFAULT) > 0) {
            return;
        }
        const Handle creation{H5Pcreate(H5P_GROUP_CREATE), H5Pclose};
        (void)H5Pset_obj_track_times(creation.get(), false);
        const Handle made{H5Gcreate2(file.get(), group.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Gclose};
        if (!made.valid()) {
            fail("group `" + group + "`");
        }
    }
};

ColumnWriter::ColumnWriter(const std::string& path) {
    const std::lock_guard lock{hdf5::library_lock()};
    hdf5::set_up_library();
    const Handle access{H5Pcreate(H5P_FILE_ACCESS), H5Pclose};
    (void)H5Pset_alignment(access.get(), 1, schema::alignment);
    (void)H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
    const Handle creation{H5Pcreate(H5P_FILE_CREATE), H5Pclose};
    (void)H5Pset_obj_track_times(creation.get(), false);
    Handle file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose};
    if (!file.valid()) {
        const hdf5::Failure failure = hdf5::take_failure();
        throw OutputError("cannot create `" + path + "`: " + failure.reason,
                          {.advice = "write to a folder that exists", .no_space = failure.no_space});
    }
    state_ = std::make_unique<State>(State{.path = path, .file = std::move(file), .datasets = {}, .complete = false});
}

ColumnWriter::~ColumnWriter() {
    if (state_->complete) {
        return;
    }
    // The file is incomplete. Closing it would flush it, and HDF5 crashes when that fails again.
    for (auto& [path, dataset] : state_->datasets) {
        dataset.abandon();
    }
    state_->file.abandon();
    // Remove the file that a symbolic link points to, not the link. Leave devices alone.
    std::error_code error;
    const std::filesystem::path written = std::filesystem::canonical(state_->path, error);
    if (!error && std::filesystem::is_regular_file(written, error)) {
        (void)std::filesystem::remove(written, error);
    }
}

void ColumnWriter::set_attribute(const char* name, std::uint32_t value) {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle space{H5Screate(H5S_SCALAR), H5Sclose};
    const Handle attribute{H5Acreate2(state_->file.get(), name, H5T_STD_U32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose};
    if (!attribute.valid() || H5Awrite(attribute.get(), H5T_NATIVE_UINT32, &value) < 0) {
        state_->fail(std::string{"attribute `"} + name + "`");
    }
}

void ColumnWriter::set_attribute(const char* name, const std::string& value) {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle type = hdf5::utf8_string_type(value.size());
    const Handle space{H5Screate(H5S_SCALAR), H5Sclose};
    const Handle attribute{H5Acreate2(state_->file.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose};
    if (!attribute.valid() || H5Awrite(attribute.get(), type.get(), value.c_str()) < 0) {
        state_->fail(std::string{"attribute `"} + name + "`");
    }
}

void ColumnWriter::create(const char* path, ElementType type, std::size_t width, std::size_t rows) {
    const std::lock_guard lock{hdf5::library_lock()};
    const std::array<hsize_t, 2> shape{rows, width};
    const Handle space{H5Screate_simple(width == 1 ? 1 : 2, shape.data(), nullptr), H5Sclose};
    state_->ensure_group(std::string{path}.substr(0, std::string_view{path}.find('/')));
    const Handle creation{H5Pcreate(H5P_DATASET_CREATE), H5Pclose};
    (void)H5Pset_obj_track_times(creation.get(), false);
    (void)H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
    (void)H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
    (void)H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
    Handle dataset{H5Dcreate2(state_->file.get(), path, hdf5::file_type(type), space.get(), H5P_DEFAULT, creation.get(),
                              H5P_DEFAULT),
                   H5Dclose};
    if (!dataset.valid()) {
        state_->fail(std::string{"column `"} + path + "`");
    }
    state_->datasets.emplace(path, std::move(dataset));
}

void ColumnWriter::write_rows(const char* path, std::size_t first_row, std::size_t rows, const void* values) {
    if (rows == 0) {
        return;
    }
    const std::lock_guard lock{hdf5::library_lock()};
    const hid_t dataset = state_->datasets.at(path).get();
    const Handle space{H5Dget_space(dataset), H5Sclose};
    const Handle type{H5Dget_type(dataset), H5Tclose};
    const Handle native{H5Tget_native_type(type.get(), H5T_DIR_ASCEND), H5Tclose};
    const Handle memory = hdf5::select_rows(space.get(), first_row, rows);
    if (H5Dwrite(dataset, native.get(), memory.get(), space.get(), H5P_DEFAULT, values) < 0) {
        state_->fail(std::string{"column `"} + path + "`");
    }
}

void ColumnWriter::close() {
    const std::lock_guard lock{hdf5::library_lock()};
    for (auto& [path, dataset] : state_->datasets) {
        if (!dataset.reset()) {
            state_->fail("column `" + path + "`");
        }
    }
    state_->datasets.clear();
    if (H5Fflush(state_->file.get(), H5F_SCOPE_GLOBAL) < 0 || !state_->file.reset()) {
        state_->fail("the end");
    }
    state_->complete = true;
}

std::string hdf5_version() {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    (void)H5get_libversion(&major, &minor, &release);
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

}  // namespace geojepa
