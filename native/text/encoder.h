// Turns text into ids, in this order: added tokens, normalisation, pieces, merges.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "text/merger.h"
#include "text/vocabulary.h"

namespace kexa {

// The UTF-16 units [start, end) of a text.
struct TextSpan {
  uint32_t start, end;
  Allow allow;
};

struct EncodeRequest {
  std::u16string text;  // lone surrogates are read as U+FFFD
  // Ascending, and they cover the text. Empty: everything is allowed.
  std::vector<TextSpan> spans;
  size_t most_ids = ~size_t{0};
  MergerLimits limits;
};

// Any number of threads may encode at the same time.
class Encoder {
 public:
  explicit Encoder(std::shared_ptr<const Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Empties `request.text` as soon as it is no longer needed. Throws Error, Cancelled and TooManyIds.
  std::vector<uint32_t> encode(EncodeRequest& request, const std::atomic<bool>* stop);

 private:
  // Idle mergers to keep, because each has a cache of 2 MB.
  static constexpr size_t kMostIdle = 2;
  std::unique_ptr<Merger> take_merger(const MergerLimits& limits);
  void give_back(std::unique_ptr<Merger> merger);

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Merger>> idle_;
};

}  // namespace kexa
