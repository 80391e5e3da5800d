#include "text/merger.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace kexa {

// Comparisons in heaps and in sorting tick the watch too, because a list may have millions of places.
namespace {

struct WatchedGreater {
  Watch& watch;
  template <typename T>
  bool operator()(T a, T b) const {
    watch.tick();
    return a > b;
  }
};

struct WatchedLess {
  Watch& watch;
  bool operator()(uint32_t a, uint32_t b) const {
    watch.tick();
    return a < b;
  }
};

}  // namespace

void PairHeap::begin(const uint8_t*, size_t) { entries_.clear(); }
void PairHeap::end_first() { std::make_heap(entries_.begin(), entries_.end(), WatchedGreater{watch_}); }
void PairHeap::add(uint32_t rank, uint32_t at) {
  add_first(rank, at);
  std::push_heap(entries_.begin(), entries_.end(), std::greater<>());
}
bool PairHeap::take(uint32_t& rank, uint32_t& at) {
  if (entries_.empty()) return false;
  rank = uint32_t(entries_[0] >> 32), at = uint32_t(entries_[0]);
  std::pop_heap(entries_.begin(), entries_.end(), std::greater<>());
  entries_.pop_back();
  return true;
}

void PairLists::begin(const uint8_t* bytes, size_t size) {
  list_of_.assign(vocabulary_.merges(), kNoList);
  std::vector<uint32_t> counts(65536);
  for (size_t i = 0; i + 1 < size; ++i) {
    watch_.tick();
    ++counts[bytes[i] << 8 | bytes[i + 1]];
  }
  for (uint32_t pair = 0; pair < counts.size(); ++pair) {
    const uint32_t rank = vocabulary_.byte_rank(uint8_t(pair >> 8), uint8_t(pair));
    if (counts[pair] != 0 && rank != Vocabulary::kNoRank) list_for(rank).places.reserve(counts[pair]);
  }
}

PairLists::List& PairLists::list_for(uint32_t rank) {
  uint32_t list;
  if (unused_.empty()) {
    list = uint32_t(lists_.size());
    lists_.emplace_back();
  } else {
    list = unused_.back();
    unused_.pop_back();
  }
  list_of_[rank] = list;
  ranks_.push_back(rank);
  std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  return lists_[list];
}

void PairLists::add(uint32_t rank, uint32_t at) {
  const uint32_t number = list_of_[rank];
  List& list = number == kNoList ? list_for(rank) : lists_[number];
  if (!list.is_being_taken) {
    if (!list.places.empty() && at < list.places.back()) list.is_sorted = false;
    list.places.push_back(at);
  } else if (list.taken < list.places.size() ? at >= list.places.back() : list.late.empty()) {
    list.places.push_back(at);
  } else {
    list.late.push_back(at);
    std::push_heap(list.late.begin(), list.late.end(), std::greater<>());
  }
}

bool PairLists::take(uint32_t& rank, uint32_t& at) {
  while (!ranks_.empty()) {
    rank = ranks_[0];
    const uint32_t number = list_of_[rank];
    List& list = lists_[number];
    if (!list.is_being_taken) {
      if (!list.is_sorted) std::sort(list.places.begin(), list.places.end(), WatchedLess{watch_});
      list.is_being_taken = true;
    }
    const bool has_more = list.taken < list.places.size();
    if (!list.late.empty() && (!has_more || list.late[0] <= list.places[list.taken])) {
      at = list.late[0];
      std::pop_heap(list.late.begin(), list.late.end(), std::greater<>());
      list.late.pop_back();
      return true;
    }
    if (has_more) {
      at = list.places[list.taken++];
      return true;
    }
    list_of_[rank] = kNoList;
    if (list.places.capacity() > 4096) {
      list = {};
    } else {
      list.places.clear();
      list.late.clear();
      list.taken = 0;
      list.is_being_taken = false;
      list.is_sorted = true;
    }
    unused_.push_back(number);
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    ranks_.pop_back();
  }
  return false;
}

Merger::Merger(const Vocabulary& vocabulary, MergerLimits limits)
    : vocabulary_(vocabulary), limits_(limits), cache_(limits.has_cache ? kCached : 0) {}

void Merger::append(std::string_view text, Watch& watch, size_t most_ids, std::vector<uint32_t>& ids) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = at + text.size();
  while (at < end) {
    const uint8_t* to = piece_end(vocabulary_.pattern(), at, end, watch);
    // Cuts a piece where no merge can ever join the two neighbouring bytes. Each merge of two tokens joins the last
    // byte of one with the first byte of the other.
    const uint8_t* from = at;
    for (++at; at < to; ++at) {
      watch.tick();
      if (vocabulary_.can_join(at[-1], *at)) continue;
      append_run(from, size_t(at - from), watch, ids);
      from = at;
    }
    append_run(from, size_t(to - from), watch, ids);
    at = to;
    if (ids.size() > most_ids) throw TooManyIds{};
  }
}

void Merger::append_run(const uint8_t* bytes, size_t size, Watch& watch, std::vector<uint32_t>& ids) {
  watch.tick();
  if (size == 1) {
    ids.push_back(vocabulary_.byte_id(*bytes));
    return;
  }
  if (size > kCachedBytes || cache_.empty()) return merge(bytes, size, watch, ids);
  uint64_t hash = size * 0x9e3779b97f4a7c15ull;
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, std::min<size_t>(8, size - i));
    hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
    hash ^= hash >> 32;
  }
  Cached& cached = cache_[(hash ^ hash >> 17) % kCached];
  if (cached.bytes == size && std::memcmp(cached.text, bytes, size) == 0) {
    ids.insert(ids.end(), cached.id, cached.id + cached.ids);
    return;
  }
  const size_t before = ids.size();
  merge(bytes, size, watch, ids);
  const size_t count = ids.size() - before;
  if (count > kCachedIds) return;
  cached.bytes = uint8_t(size), cached.ids = uint8_t(count);
  std::memcpy(cached.text, bytes, size);
  std::copy(ids.begin() + ptrdiff_t(before), ids.end(), cached.id);
}

void Merger::merge(const uint8_t* bytes, size_t size, Watch& watch, std::vector<uint32_t>& ids) {
  if (size <= std::min(limits_.heap_from, kShort)) return merge_short(bytes, size, ids);
  if (size <= limits_.lists_from) {
    PairHeap heap(vocabulary_, watch);
    return merge_queued(bytes, size, heap, watch, ids);
  }
  if (size >= 1u << 31) throw Error("KEXA_INVALID_ARGUMENT", "text: a word of 2 GiB");
  PairLists lists(vocabulary_, watch);
  merge_queued(bytes, size, lists, watch, ids);
  if (symbols_.capacity() > 1u << 20) symbols_ = {};
}

void Merger::merge_short(const uint8_t* bytes, size_t size, std::vector<uint32_t>& ids) const {
  uint32_t id[kShort], rank[kShort];
  for (size_t i = 0; i < size; ++i) {
    id[i] = vocabulary_.byte_id(bytes[i]);
    rank[i] = i + 1 < size ? vocabulary_.byte_rank(bytes[i], bytes[i + 1]) : Vocabulary::kNoRank;
  }
  for (;;) {
    uint32_t best = Vocabulary::kNoRank;
    size_t at = 0;
    for (size_t i = 0; i + 1 < size; ++i)
      if (rank[i] < best) best = rank[i], at = i;
    if (best == Vocabulary::kNoRank) break;
    id[at] = vocabulary_.merged(best);
    --size;
    std::memmove(id + at + 1, id + at + 2, (size - at - 1) * sizeof *id);
    std::memmove(rank + at + 1, rank + at + 2, (size - at - 1) * sizeof *rank);
    rank[at] = at + 1 < size ? vocabulary_.rank_of(id[at], id[at + 1]) : Vocabulary::kNoRank;
    if (at > 0) rank[at - 1] = vocabulary_.rank_of(id[at - 1], id[at]);
  }
  ids.insert(ids.end(), id, id + size);
}

// `symbols_` has one entry for each byte. At a token's first byte it is the token's id. At the last byte of a longer
// token it is kBack and the place where the token begins. Where a token began that is now merged into the one before
// it, it is kNothing.
//
// The queue may give a place again after the pair there has changed. A changed pair shows by its rank, as in the
// library, because the tokens at a place only grow.
template <typename Queue>
void Merger::merge_queued(const uint8_t* bytes, size_t size, Queue& queue, Watch& watch, std::vector<uint32_t>& ids) {
  constexpr uint32_t kBack = 1u << 31, kNothing = kBack - 1;
  symbols_.resize(size);
  queue.begin(bytes, size);
  for (size_t i = 0; i < size; ++i) {
    watch.tick();
    symbols_[i] = vocabulary_.byte_id(bytes[i]);
    if (i + 1 == size) break;
    if (const uint32_t rank = vocabulary_.byte_rank(bytes[i], bytes[i + 1]); rank != Vocabulary::kNoRank)
      queue.add_first(rank, uint32_t(i));
  }
  queue.end_first();
  uint32_t rank, at;
  while (queue.take(rank, at)) {
    watch.tick();
    const uint32_t left = symbols_[at];
    if (left >= kNothing) continue;
    const size_t right = at + vocabulary_.length_of(left);
    if (right >= size || vocabulary_.rank_of(left, symbols_[right]) != rank) continue;
    const size_t end = right + vocabulary_.length_of(symbols_[right]);
    const uint32_t whole = vocabulary_.merged(rank);
    symbols_[right] = kNothing;
    symbols_[end - 1] = kBack | at;
    symbols_[at] = whole;
    if (at > 0) {
      const uint32_t last = symbols_[at - 1];
      const uint32_t before = (last & kBack) != 0 ? last & ~kBack : at - 1;
      if (const uint32_t next = vocabulary_.rank_of(symbols_[before], whole); next != Vocabulary::kNoRank)
        queue.add(next, before);
    }
    if (end < size)
      if (const uint32_t next = vocabulary_.rank_of(whole, symbols_[end]); next != Vocabulary::kNoRank)
        queue.add(next, at);
  }
  for (size_t i = 0; i < size; i += vocabulary_.length_of(symbols_[i])) {
    watch.tick();
    ids.push_back(symbols_[i]);
  }
}

}  // namespace kexa
