// A hash table with linear probing. The texts are in blocks. A spilled record is (number, length of key, key, value).
#include "columns/vocabulary.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "errors.hpp"

namespace geojepa {
namespace {

constexpr std::size_t block_size = std::size_t{1} << 16U;
constexpr std::size_t first_slots = std::size_t{1} << 10U;
constexpr std::size_t min_chunk_bytes = std::size_t{1} << 12U;
constexpr std::size_t max_chunk_bytes = std::size_t{1} << 18U;

std::uint64_t hash_of(Tag tag) {
    const std::hash<std::string_view> hash;
    return hash(tag.key) * 0x9E3779B97F4A7C15U + hash(tag.value);
}

bool less(Tag a, Tag b) {
    const int keys = a.key.compare(b.key);
    return keys != 0 ? keys < 0 : a.value < b.value;
}

bool equal(Tag a, Tag b) {
    return a.key == b.key && a.value == b.value;
}

}  // namespace

/// Iterates over sorted pairs.
class Vocabulary::Source {
public:
    Source() = default;
    virtual ~Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    Tag tag() const { return tag_; }
    std::uint32_t number() const { return number_; }
    /// Moves to the next pair; must be called before the first one. Returns false at the end.
    virtual bool advance() = 0;

protected:
    Tag tag_;
    std::uint32_t number_ = 0;
};

class Vocabulary::MemorySource : public Source {
public:
    explicit MemorySource(const Vocabulary& vocabulary) : vocabulary_(&vocabulary), order_(vocabulary.sorted()) {}

    bool advance() override {
        if (next_ == order_.size()) {
            return false;
        }
        const std::uint32_t place = order_[next_++];
        tag_ = vocabulary_->pairs_[place].tag();
        number_ = vocabulary_->first_number_ + place;
        return true;
    }

private:
    const Vocabulary* vocabulary_;
    std::vector<std::uint32_t> order_;
    std::size_t next_ = 0;
};

class Vocabulary::RunSource : public Source {
public:
    RunSource(SpillFile& file, std::size_t run, std::size_t buffer) : reader_(file, run, buffer) {}

    bool advance() override {
        const auto record = reader_.next();
        if (!record) {
            return false;
        }
        std::uint32_t key_bytes = 0;
        std::memcpy(&number_, record->data(), sizeof(number_));
        std::memcpy(&key_bytes, record->data() + sizeof(number_), sizeof(key_bytes));
        const auto text = record->subspan(sizeof(number_) + sizeof(key_bytes));
        const std::string_view both{reinterpret_cast<const char*>(text.data()), text.size()};
        tag_ = {both.substr(0, key_bytes), both.substr(key_bytes)};
        return true;
    }

private:
    SpillFile::Reader reader_;
};

Vocabulary::Vocabulary(std::string directory, std::size_t bytes) : bytes_(bytes), spilled_(std::move(directory)) {}

Vocabulary::~Vocabulary() = default;

std::uint32_t Vocabulary::intern(Tag tag) {
    const std::uint64_t hash = hash_of(tag);
    if (2 * pairs_.size() >= slots_.size()) {
        widen();
    }
    std::size_t slot = hash & (slots_.size() - 1);
    while (slots_[slot] != 0) {
        const std::uint32_t place = slots_[slot] - 1;
        if (pairs_[place].hash == hash && equal(pairs_[place].tag(), tag)) {
            return first_number_ + place;
        }
        slot = (slot + 1) & (slots_.size() - 1);
    }
    if (used_bytes() > bytes_) {
        spill();
        return intern(tag);
    }
    if (numbers() == std::numeric_limits<std::uint32_t>::max()) {
        throw InputError("more than 4,294,967,294 distinct tags", smaller_area);
    }
    pairs_.push_back({
        .hash = hash,
        .text = store(tag),
        .key_bytes = static_cast<std::uint32_t>(tag.key.size()),
        .value_bytes = static_cast<std::uint32_t>(tag.value.size()),
    });
    slots_[slot] = static_cast<std::uint32_t>(pairs_.size());
    return numbers() - 1;
}

const char* Vocabulary::store(Tag tag) {
    const std::size_t size = tag.key.size() + tag.value.size();
    if (blocks_.empty() || blocks_.back().size() + size > blocks_.back().capacity()) {
        blocks_.emplace_back();
        blocks_.back().reserve(std::max(block_size, size));
        block_bytes_ += blocks_.back().capacity();
    }
    std::string& block = blocks_.back();
    const std::size_t start = block.size();
    block += tag.key;
    block += tag.value;
    return block.data() + start;
}

/// Memory of the table, including the order of the pairs that `for_each` needs.
std::size_t Vocabulary::used_bytes() const {
    return pairs_.empty() ? 0
                          : block_bytes_ + pairs_.capacity() * (sizeof(Pair) + sizeof(std::uint32_t)) +
                                slots_.size() * sizeof(std::uint32_t);
}

void Vocabulary::widen() {
    slots_.assign(std::max(first_slots, 2 * slots_.size()), 0);
    for (std::size_t place = 0; place < pairs_.size(); ++place) {
        std::size_t slot = pairs_[place].hash & (slots_.size() - 1);
        while (slots_[slot] != 0) {
            slot = (slot + 1) & (slots_.size() - 1);
        }
        slots_[slot] = static_cast<std::uint32_t>(place + 1);
    }
}

void Vocabulary::spill() {
    std::vector<std::byte> record;
    const auto append = [&](const void* bytes, std::size_t size) {
        const auto* first = static_cast<const std::byte*>(bytes);
        record.insert(record.end(), first, first + size);
    };
    for (const std::uint32_t place : sorted()) {
        const Pair& pair = pairs_[place];
        const std::uint32_t number = first_number_ + place;
        record.clear();
        append(&number, sizeof(number));
        append(&pair.key_bytes, sizeof(pair.key_bytes));
        append(pair.text, pair.key_bytes + pair.value_bytes);
        spilled_.add(record);
    }
    spilled_.end_run();
    first_number_ = numbers();
    blocks_.clear();
    block_bytes_ = 0;
    pairs_.clear();
    std::fill(slots_.begin(), slots_.end(), 0);
}

std::vector<std::uint32_t> Vocabulary::sorted() const {
    std::vector<std::uint32_t> order(pairs_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [this](std::uint32_t a, std::uint32_t b) { return less(pairs_[a].tag(), pairs_[b].tag()); });
    return order;
}

void Vocabulary::for_each(const std::function<void(Tag, std::span<const std::uint32_t>)>& visit) {
    std::vector<std::unique_ptr<Source>> all;
    const std::size_t buffer =
        std::clamp(bytes_ / std::max<std::size_t>(spilled_.runs(), 1), min_chunk_bytes, max_chunk_bytes);
    for (std::size_t run = 0; run < spilled_.runs(); ++run) {
        all.push_back(std::make_unique<RunSource>(spilled_, run, buffer));
    }
    all.push_back(std::make_unique<MemorySource>(*this));
    std::vector<Source*> heap;
    for (const auto& source : all) {
        if (source->advance()) {
            heap.push_back(source.get());
        }
    }
    const auto later = [](const Source* a, const Source* b) { return less(b->tag(), a->tag()); };
    std::make_heap(heap.begin(), heap.end(), later);
    std::string text;
    std::vector<std::uint32_t> numbers;
    while (!heap.empty()) {
        const Tag first = heap.front()->tag();
        text.assign(first.key).append(first.value);
        const std::string_view both{text};
        const Tag tag{both.substr(0, first.key.size()), both.substr(first.key.size())};
        numbers.clear();
        while (!heap.empty() && equal(heap.front()->tag(), tag)) {
            std::pop_heap(heap.begin(), heap.end(), later);
            numbers.push_back(heap.back()->number());
            if (heap.back()->advance()) {
                std::push_heap(heap.begin(), heap.end(), later);
            } else {
                heap.pop_back();
            }
        }
        visit(tag, numbers);
    }
}

}  // namespace geojepa
