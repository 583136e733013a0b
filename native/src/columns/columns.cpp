// The one unit that speaks to HDF5. Its calls are made under one lock: the library is not thread-safe.
#include "columns/columns.hpp"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "errors.hpp"

namespace geojepa {
namespace {

/// An HDF5 handle that closes itself.
class Handle {
public:
    using Close = herr_t (*)(hid_t);

    Handle(hid_t id, Close close) : id_(id), close_(close) {}
    ~Handle() { reset(); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Handle& operator=(Handle&&) = delete;

    hid_t get() const noexcept { return id_; }
    bool valid() const noexcept { return id_ >= 0; }
    void abandon() noexcept { id_ = -1; }
    bool reset() noexcept { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

private:
    hid_t id_;
    Close close_;
};

std::mutex& library_lock() {
    static std::mutex mutex;
    return mutex;
}

void set_up_library() {
    // What a failed write leaves behind cannot be flushed when the program ends, and trying to would crash it.
    static const bool once = H5dont_atexit() >= 0;
    (void)once;
    // The library's own trace would stand between the JSON lines on stderr; the reason goes into our message.
    (void)H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

/// Keeps the deepest message of the error stack, and the system's one where the stack has it.
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

std::string reason_of_failure() {
    std::string reason;
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, &reason);
    (void)H5Eclear2(H5E_DEFAULT);
    return reason.empty() ? "HDF5 gives no reason" : reason;
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

/// Selects `rows` rows from `first` on in `space`, and gives the shape that they have in memory.
Handle select_rows(hid_t space, std::size_t first, std::size_t rows) {
    const int rank = H5Sget_simple_extent_ndims(space);
    std::array<hsize_t, 2> start{first, 0};
    std::array<hsize_t, 2> count{};
    (void)H5Sget_simple_extent_dims(space, count.data(), nullptr);
    count[0] = rows;
    (void)H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    return {H5Screate_simple(rank, count.data(), nullptr), H5Sclose};
}

Handle utf8_string_type() {
    Handle type{H5Tcopy(H5T_C_S1), H5Tclose};
    (void)H5Tset_size(type.get(), H5T_VARIABLE);
    (void)H5Tset_cset(type.get(), H5T_CSET_UTF8);
    return type;
}

}  // namespace

struct ColumnWriter::State {
    std::string path;
    Handle file;
    std::map<std::string, Handle> datasets;
    bool complete = false;

    [[noreturn]] void fail(const std::string& what) const {
        throw OutputError("cannot write " + what + " of `" + path + "`: " + reason_of_failure(),
                          "free some space there, or write elsewhere");
    }

    /// Makes a table's group, without times: groups that HDF5 makes by itself on the way to a dataset keep them.
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
    const std::lock_guard lock{library_lock()};
    set_up_library();
    const Handle access{H5Pcreate(H5P_FILE_ACCESS), H5Pclose};
    (void)H5Pset_alignment(access.get(), 1, schema::alignment);
    (void)H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
    const Handle creation{H5Pcreate(H5P_FILE_CREATE), H5Pclose};
    (void)H5Pset_obj_track_times(creation.get(), false);
    Handle file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose};
    if (!file.valid()) {
        throw OutputError("cannot create `" + path + "`: " + reason_of_failure(), "write to a folder that exists");
    }
    state_ = std::make_unique<State>(State{path, std::move(file), {}, false});
}

ColumnWriter::~ColumnWriter() {
    if (state_->complete) {
        return;
    }
    // A file that was not closed is not complete. Closing it now would flush, and HDF5 crashes when that fails too.
    for (auto& [path, dataset] : state_->datasets) {
        dataset.abandon();
    }
    state_->file.abandon();
    // Where a link was given, the file behind it is the one that is not complete; a device is no file.
    std::error_code error;
    const std::filesystem::path written = std::filesystem::canonical(state_->path, error);
    if (!error && std::filesystem::is_regular_file(written, error)) {
        (void)std::filesystem::remove(written, error);
    }
}

void ColumnWriter::set_attribute(const char* name, std::uint32_t value) {
    const std::lock_guard lock{library_lock()};
    const Handle space{H5Screate(H5S_SCALAR), H5Sclose};
    const Handle attribute{H5Acreate2(state_->file.get(), name, H5T_STD_U32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose};
    if (!attribute.valid() || H5Awrite(attribute.get(), H5T_NATIVE_UINT32, &value) < 0) {
        state_->fail(std::string{"attribute `"} + name + "`");
    }
}

void ColumnWriter::set_attribute(const char* name, const std::string& value) {
    const std::lock_guard lock{library_lock()};
    const Handle type = utf8_string_type();
    const Handle space{H5Screate(H5S_SCALAR), H5Sclose};
    const Handle attribute{H5Acreate2(state_->file.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose};
    const char* text = value.c_str();
    if (!attribute.valid() || H5Awrite(attribute.get(), type.get(), static_cast<const void*>(&text)) < 0) {
        state_->fail(std::string{"attribute `"} + name + "`");
    }
}

void ColumnWriter::create(const char* path, ElementType type, std::size_t width, std::size_t rows) {
    const std::lock_guard lock{library_lock()};
    const std::array<hsize_t, 2> shape{rows, width};
    const Handle space{H5Screate_simple(width == 1 ? 1 : 2, shape.data(), nullptr), H5Sclose};
    state_->ensure_group(std::string{path}.substr(0, std::string_view{path}.find('/')));
    const Handle creation{H5Pcreate(H5P_DATASET_CREATE), H5Pclose};
    (void)H5Pset_obj_track_times(creation.get(), false);
    (void)H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
    (void)H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
    (void)H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
    Handle dataset{
        H5Dcreate2(state_->file.get(), path, file_type(type), space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
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
    const std::lock_guard lock{library_lock()};
    const hid_t dataset = state_->datasets.at(path).get();
    const Handle space{H5Dget_space(dataset), H5Sclose};
    const Handle type{H5Dget_type(dataset), H5Tclose};
    const Handle native{H5Tget_native_type(type.get(), H5T_DIR_ASCEND), H5Tclose};
    const Handle memory = select_rows(space.get(), first_row, rows);
    if (H5Dwrite(dataset, native.get(), memory.get(), space.get(), H5P_DEFAULT, values) < 0) {
        state_->fail(std::string{"column `"} + path + "`");
    }
}

void ColumnWriter::close() {
    const std::lock_guard lock{library_lock()};
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
    const std::lock_guard lock{library_lock()};
    set_up_library();
    Handle file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose};
    if (!file.valid()) {
        throw InputError("cannot open `" + path + "`: " + reason_of_failure());
    }
    state_ = std::make_unique<State>(State{path, std::move(file)});
}

ColumnReader::~ColumnReader() {
    const std::lock_guard lock{library_lock()};
    state_.reset();
}

bool ColumnReader::has(const char* path) const {
    const std::lock_guard lock{library_lock()};
    const std::string whole{path};
    for (std::size_t end = whole.find('/'); end != std::string::npos; end = whole.find('/', end + 1)) {
        if (H5Lexists(state_->file.get(), whole.substr(0, end).c_str(), H5P_DEFAULT) <= 0) {
            return false;
        }
    }
    return H5Lexists(state_->file.get(), path, H5P_DEFAULT) > 0;
}

std::uint32_t ColumnReader::u32_attribute(const char* name) const {
    const std::lock_guard lock{library_lock()};
    const Handle attribute = state_->attribute(name);
    const Handle type{H5Aget_type(attribute.get()), H5Tclose};
    std::uint32_t value = 0;
    if (H5Tget_class(type.get()) != H5T_INTEGER || H5Aread(attribute.get(), H5T_NATIVE_UINT32, &value) < 0) {
        throw SchemaError("`" + state_->path + "`: attribute `" + name + "` is no number");
    }
    return value;
}

std::string ColumnReader::string_attribute(const char* name) const {
    const std::lock_guard lock{library_lock()};
    const Handle attribute = state_->attribute(name);
    const Handle stored{H5Aget_type(attribute.get()), H5Tclose};
    const Handle type = utf8_string_type();
    char* text = nullptr;
    if (H5Tget_class(stored.get()) != H5T_STRING || H5Tis_variable_str(stored.get()) <= 0 ||
        H5Aread(attribute.get(), type.get(), static_cast<void*>(&text)) < 0) {
        throw SchemaError("`" + state_->path + "`: attribute `" + name + "` is no string");
    }
    std::string value{text == nullptr ? "" : text};
    (void)H5free_memory(text);
    return value;
}

std::size_t ColumnReader::checked_rows(const char* path, ElementType type, std::size_t width) const {
    const std::lock_guard lock{library_lock()};
    const Handle dataset = state_->dataset(path);
    const Handle stored{H5Dget_type(dataset.get()), H5Tclose};
    const Handle space{H5Dget_space(dataset.get()), H5Sclose};
    const int rank = H5Sget_simple_extent_ndims(space.get());
    std::array<hsize_t, 2> shape{0, 1};
    if (rank == 1 || rank == 2) {
        (void)H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
    }
    if (H5Tequal(stored.get(), file_type(type)) <= 0) {
        throw SchemaError("`" + state_->path + "`: column `" + path +
                          "` has another element type than the schema says");
    }
    if (rank != (width == 1 ? 1 : 2) || shape[1] != width) {
        throw SchemaError("`" + state_->path + "`: column `" + path + "` has not " + std::to_string(width) +
                          " values a row");
    }
    return shape[0];
}

void ColumnReader::check_range(const char* path, std::size_t first_row, std::size_t last_row,
                               std::size_t present) const {
    if (first_row > last_row || last_row > present) {
        throw SchemaError("`" + state_->path + "`: column `" + path + "` has " + std::to_string(present) +
                          " rows, and rows " + std::to_string(first_row) + " to " + std::to_string(last_row) +
                          " are asked for");
    }
}

void ColumnReader::read_rows(const char* path, std::size_t first_row, std::size_t rows, void* values) const {
    if (rows == 0) {
        return;
    }
    const std::lock_guard lock{library_lock()};
    const Handle dataset = state_->dataset(path);
    const Handle space{H5Dget_space(dataset.get()), H5Sclose};
    const Handle type{H5Dget_type(dataset.get()), H5Tclose};
    const Handle native{H5Tget_native_type(type.get(), H5T_DIR_ASCEND), H5Tclose};
    const Handle memory = select_rows(space.get(), first_row, rows);
    if (H5Dread(dataset.get(), native.get(), memory.get(), space.get(), H5P_DEFAULT, values) < 0) {
        throw InputError("cannot read column `" + std::string{path} + "` of `" + state_->path +
                         "`: " + reason_of_failure());
    }
}

const void* ColumnReader::map_bytes(const char* path, std::size_t bytes, std::shared_ptr<const void>& mapping) const {
    const std::lock_guard lock{library_lock()};
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
    const bool whole = offset + bytes <= static_cast<std::uint64_t>(status.st_size);
    void* address =
        whole ? ::mmap(nullptr, bytes + skipped, PROT_READ, MAP_SHARED, file, static_cast<off_t>(offset - skipped))
              : MAP_FAILED;
    (void)::close(file);
    if (address == MAP_FAILED) {
        if (whole) {
            return nullptr;
        }
        throw InputError("`" + state_->path + "` is cut short: column `" + path + "` ends beyond it");
    }
    mapping = {address,
               [size = bytes + skipped](const void* start) { (void)::munmap(const_cast<void*>(start), size); }};
    return static_cast<const std::byte*>(address) + skipped;
}

std::string hdf5_version() {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    (void)H5get_libversion(&major, &minor, &release);
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

}  // namespace geojepa
