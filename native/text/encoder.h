// Text to ids: added tokens, normalisation, pieces, merges.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "text/merger.h"
#include "text/vocabulary.h"

namespace kexa {

// [start, end) in UTF-16 units.
struct TextSpan {
  uint32_t start, end;
  Allow allow;
};

struct EncodeRequest {
  std::u16string text;  // lone surrogates are read as U+FFFD
  // Ascending, and covering the text; or none: everything is allowed.
  std::vector<TextSpan> spans;
  size_t most_ids = ~size_t{0};
  MergerLimits limits;
};

// Any number of threads may encode at a time.
class Encoder {
 public:
  explicit Encoder(std::shared_ptr<const Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Empties `request.text` as soon as it is not needed. Throws Error, Cancelled and TooManyIds.
  std::vector<uint32_t> encode(EncodeRequest& request, const std::atomic<bool>* stop);

 private:
  // Mergers keep a cache of 2 MB each.
  static constexpr size_t kMostIdle = 2;
  std::unique_ptr<Merger> take_merger(const MergerLimits& limits);
  void give_back(std::unique_ptr<Merger> merger);

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Merger>> idle_;
};

}  // namespace kexa
