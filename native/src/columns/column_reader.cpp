// Checks type and shape against the schema before it reads or maps a dataset.
#include "columns/column_reader.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>

#include "columns/hdf5.hpp"
#include "errors.hpp"

namespace geojepa {

using hdf5::Handle;

namespace {

constexpr std::size_t max_attribute_bytes = 1024;

}  // namespace

struct ColumnReader::State {
    std::string path;
    Handle file;

    Handle dataset(const char* column) const {
        Handle dataset{H5Dopen2(file.get(), column, H5P_DEFAULT), H5Dclose};
        if (!dataset.valid()) {
            (void)H5Eclear2(H5E_DEFAULT);
            throw SchemaError("`" + path + "` has no column `" + column + "`");
        }
        return dataset;
    }

    Handle attribute(const char* name) const {
        Handle attribute{H5Aopen(file.get(), name, H5P_DEFAULT), H5Aclose};
        if (!attribute.valid()) {
            (void)H5Eclear2(H5E_DEFAULT);
            throw SchemaError("`" + path + "` has no attribute `" + name + "`");
        }
        return attribute;
    }
};

ColumnReader::ColumnReader(const std::string& path) {
    const std::lock_guard lock{hdf5::library_lock()};
    hdf5::set_up_library();
    Handle file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose};
    if (!file.valid()) {
        throw InputError("cannot open `" + path + "`: " + hdf5::take_failure().reason);
    }
    state_ = std::make_unique<State>(State{.path = path, .file = std::move(file)});
}

ColumnReader::~ColumnReader() {
    const std::lock_guard lock{hdf5::library_lock()};
    state_.reset();
}

bool ColumnReader::has(const char* path) const {
    const std::lock_guard lock{hdf5::library_lock()};
    const std::string whole{path};
    for (std::size_t end = whole.find('/'); end != std::string::npos; end = whole.find('/', end + 1)) {
        if (H5Lexists(state_->file.get(), whole.substr(0, end).c_str(), H5P_DEFAULT) <= 0) {
            return false;
        }
    }
    return H5Lexists(state_->file.get(), path, H5P_DEFAULT) > 0;
}

std::uint32_t ColumnReader::u32_attribute(const char* name) const {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle attribute = state_->attribute(name);
    const Handle type{H5Aget_type(attribute.get()), H5Tclose};
    std::uint32_t value = 0;
    if (H5Tget_class(type.get()) != H5T_INTEGER || H5Aread(attribute.get(), H5T_NATIVE_UINT32, &value) < 0) {
        throw SchemaError("`" + state_->path + "`: attribute `" + name + "` is not an integer");
    }
    return value;
}

std::string ColumnReader::string_attribute(const char* name) const {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle attribute = state_->attribute(name);
    const Handle stored{H5Aget_type(attribute.get()), H5Tclose};
    const Handle space{H5Aget_space(attribute.get()), H5Sclose};
    const std::size_t size = H5Tget_size(stored.get());
    std::string value(std::min(size, max_attribute_bytes), '\0');
    // HDF5 may loop for ever when it reads a string of variable length from a damaged file.
    if (H5Tget_class(stored.get()) != H5T_STRING || H5Tis_variable_str(stored.get()) != 0 ||
        H5Sget_simple_extent_npoints(space.get()) != 1 || size > max_attribute_bytes ||
        H5Aread(attribute.get(), stored.get(), value.data()) < 0) {
        throw SchemaError("`" + state_->path + "`: attribute `" + name + "` is not a string of fixed length");
    }
    return value.substr(0, value.find('\0'));
}

std::size_t ColumnReader::checked_rows(const char* path, ElementType type, std::size_t width) const {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle dataset = state_->dataset(path);
    const Handle stored{H5Dget_type(dataset.get()), H5Tclose};
    const Handle space{H5Dget_space(dataset.get()), H5Sclose};
    const int rank = H5Sget_simple_extent_ndims(space.get());
    std::array<hsize_t, 2> shape{0, 1};
    if (rank == 1 || rank == 2) {
        (void)H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
    }
    const std::string column = "`" + state_->path + "`: column `" + path + "`";
    if (H5Tequal(stored.get(), hdf5::file_type(type)) <= 0) {
        throw SchemaError(column + " has another element type than the schema");
    }
    if (rank != (width == 1 ? 1 : 2) || shape[1] != width) {
        throw SchemaError(column + " does not have " + std::to_string(width) + " values a row");
    }
    if (shape[0] > std::numeric_limits<std::size_t>::max() / (width * H5Tget_size(stored.get()))) {
        throw InputError(column + " is damaged: it claims " + std::to_string(shape[0]) + " rows");
    }
    return shape[0];
}

void ColumnReader::check_range(const char* path, std::size_t first_row, std::size_t last_row,
                               std::size_t present) const {
    if (first_row > last_row || last_row > present) {
        throw SchemaError("`" + state_->path + "`: column `" + path + "` has " + std::to_string(present) +
                          " rows, requested are rows " + std::to_string(first_row) + " to " + std::to_string(last_row));
    }
}

void ColumnReader::read_rows(const char* path, std::size_t first_row, std::size_t rows, void* values) const {
    if (rows == 0) {
        return;
    }
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle dataset = state_->dataset(path);
    const Handle space{H5Dget_space(dataset.get()), H5Sclose};
    const Handle type{H5Dget_type(dataset.get()), H5Tclose};
    const Handle native{H5Tget_native_type(type.get(), H5T_DIR_ASCEND), H5Tclose};
    const Handle memory = hdf5::select_rows(space.get(), first_row, rows);
    if (H5Dread(dataset.get(), native.get(), memory.get(), space.get(), H5P_DEFAULT, values) < 0) {
        throw InputError("cannot read column `" + std::string{path} + "` of `" + state_->path +
                         "`: " + hdf5::take_failure().reason);
    }
}

const void* ColumnReader::map_bytes(const char* path, std::size_t bytes, std::shared_ptr<const void>& mapping) const {
    const std::lock_guard lock{hdf5::library_lock()};
    const Handle dataset = state_->dataset(path);
    const Handle creation{H5Dget_create_plist(dataset.get()), H5Pclose};
    const haddr_t offset = H5Dget_offset(dataset.get());
    if (bytes == 0 || H5Pget_layout(creation.get()) != H5D_CONTIGUOUS || offset == HADDR_UNDEF ||
        std::endian::native != std::endian::little) {
        return nullptr;
    }
    const int file = ::open(state_->path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (file < 0 || ::fstat(file, &status) != 0) {
        const int reason = errno;
        (void)::close(file);
        throw InputError("cannot open `" + state_->path + "`: " + std::strerror(reason));
    }
    const std::size_t skipped = offset % static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
    const bool whole = offset <= file_bytes && bytes <= file_bytes - offset;
    void* address =
        whole ? ::mmap(nullptr, bytes + skipped, PROT_READ, MAP_SHARED, file, static_cast<off_t>(offset - skipped))
              : MAP_FAILED;
    (void)::close(file);
    if (address == MAP_FAILED) {
        if (whole) {
            return nullptr;
        }
        throw InputError("`" + state_->path + "` is truncated: column `" + path + "` ends beyond the end of the file");
    }
    mapping = {address,
               [size = bytes + skipped](const void* start) { (void)::munmap(const_cast<void*>(start), size); }};
    return static_cast<const std::byte*>(address) + skipped;
}

}  // namespace geojepa
