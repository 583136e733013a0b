// The command line of `geojepa-tiler`. Only `main` turns exceptions into messages and exit codes.
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "clip/geos.hpp"
#include "clip/tile.hpp"
#include "columns/column_writer.hpp"
#include "columns/schema.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "process/process.hpp"
#include "read/reader.hpp"

namespace geojepa {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

void print_versions() {
    JsonObject versions;
    versions.add("version", GEOJEPA_VERSION)
        .add("schema_version", schema::version)
        .add("libosmium", libosmium_version())
        .add("geos", geos::version())
        .add("hdf5", hdf5_version());
    write_summary(versions);
}

void add_tile_options(CLI::App& command, TileOptions& options, std::vector<double>& bbox) {
    command.add_option("--input", options.inputs, "OSM extracts: .osm.pbf, .osm, .osm.gz or .osm.bz2, sorted or not")
        ->required();
    command.add_option("--output", options.output, "file to write")->required();
    command.add_option("--zoom", options.zoom, "zoom of the tiles, 14 to 18")->capture_default_str();
    command.add_option("--threads", options.threads, "threads that clip; 0: one per processor")->capture_default_str();
    command.add_option("--memory", options.memory, "limit of the memory, such as 512M")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("512M");
    command.add_option("--bbox", bbox, "west,south,east,north in degrees: only write tiles that meet the box")
        ->delimiter(',')
        ->expected(4);
    command.add_option("--polygon", options.polygon,
                       "GeoJSON or .poly file: only write tiles that share some area with its polygons");
    command.add_option("--keep-tags", options.keep_tags,
                       "keys to keep that are dropped by default; a leading or trailing * matches any text");
    command.add_option("--drop-tags", options.drop_tags,
                       "keys to drop in addition; a leading or trailing * matches any text");
}

void add_process_options(CLI::App& command, ProcessOptions& options) {
    command.add_option("--input", options.input, "file written by `tile`")->required();
    command.add_option("--output", options.output, "file to write")->required();
    command.add_option("--simplify-m", options.simplify_m, "tolerance of the Douglas-Peucker simplification in metres")
        ->capture_default_str();
    command.add_option("--visibility-k", options.visibility_k, "visibility edges searched for each vertex")
        ->capture_default_str();
    command.add_option("--min-side-m", options.min_side_m, "minimum side of a box in metres")->capture_default_str();
    command.add_option("--threads", options.threads, "threads that process; 0: one per processor")
        ->capture_default_str();
}

int run(int argc, const char* const* argv) {
    CLI::App app{"Clips OpenStreetMap extracts to tiles and converts tiles to model-ready columns.", "geojepa-tiler"};
    bool version = false;
    app.add_flag("--version", version, "print versions as JSON");
    app.require_subcommand(0, 1);

    TileOptions tile;
    std::vector<double> bbox;
    CLI::App* tile_command = app.add_subcommand("tile", "clip the objects of OSM extracts to tiles");
    add_tile_options(*tile_command, tile, bbox);
    ProcessOptions process;
    CLI::App* process_command = app.add_subcommand("process", "convert tiles to model-ready columns");
    add_process_options(*process_command, process);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            return app.exit(error);
        }
        throw UsageError(error.what(), {.command = {"geojepa-tiler", "--help"}});
    }
    if (version) {
        print_versions();
        return 0;
    }
    if (tile_command->parsed()) {
        if (!bbox.empty()) {
            tile.bbox = std::array<double, 4>{bbox[0], bbox[1], bbox[2], bbox[3]};
        }
        return run_tile(tile);
    }
    if (process_command->parsed()) {
        return run_process(process);
    }
    throw UsageError("no command given", {.command = {"geojepa-tiler", "--help"}});
}

}  // namespace
}  // namespace geojepa

namespace {

/// Makes the system kill this process when the parent in $GEOJEPA_PARENT_PID ends, so that a killed stage leaves no
/// process that writes into its folder. Returns false where the parent has already ended.
bool follow_parent() {
    const char* parent = std::getenv("GEOJEPA_PARENT_PID");
    if (parent == nullptr) {
        return true;
    }
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    return std::to_string(getppid()) == parent;  // it may have ended before prctl
}

}  // namespace

int main(int argc, char** argv) {
    if (!follow_parent()) {
        return geojepa::exit_failure;
    }
    // A file size limit or a closed pipe must be reported as an error and not kill the process.
    (void)std::signal(SIGXFSZ, SIG_IGN);
    (void)std::signal(SIGPIPE, SIG_IGN);
    try {
        return geojepa::run(argc, argv);
    } catch (const geojepa::UsageError& error) {
        geojepa::write_error(error.what(), error.hint());
        return geojepa::exit_usage;
    } catch (const geojepa::Error& error) {
        geojepa::write_error(error.what(), error.hint());
    } catch (const std::bad_alloc&) {
        geojepa::write_error("out of memory", geojepa::smaller_area);
    } catch (const std::exception& error) {
        geojepa::write_error(error.what(), {});
    } catch (...) {
        geojepa::write_error("unknown error", {});
    }
    return geojepa::exit_failure;
}
