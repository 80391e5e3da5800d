#include "text/encoder.h"

#include <algorithm>

#include "text/utf8.h"

namespace kexa {
namespace {

// The text in UTF-8, and the spans in its bytes. A span that ends inside a surrogate pair is cut before the pair.
std::string to_utf8(const std::u16string& text, const std::vector<TextSpan>& from, std::vector<AllowedSpan>& spans,
                    Watch& watch) {
  std::string bytes;
  bytes.reserve(text.size());
  size_t span = 0;
  const auto place_spans = [&](size_t unit, size_t byte) {
    for (; span < from.size() && from[span].end <= unit; ++span) {
      const uint32_t start = spans.empty() ? 0 : spans.back().end;
      if (byte > start) spans.push_back({start, uint32_t(byte), from[span].allow});
    }
  };
  for (size_t i = 0; i < text.size();) {
    watch.tick();
    const size_t byte = bytes.size();
    uint32_t code = text[i++];
    const bool is_pair = (code & 0xfc00) == 0xd800 && i < text.size() && (text[i] & 0xfc00) == 0xdc00;
    place_spans(i - (is_pair ? 0 : 1), byte);
    if (is_pair) {
      code = 0x10000 + ((code & 0x3ff) << 10) + (text[i++] & 0x3ff);
    } else if ((code & 0xf800) == 0xd800) {
      code = 0xfffd;
    }
    append_character(bytes, code);
  }
  place_spans(text.size(), bytes.size());
  return bytes;
}

// The spans inside the bytes [start, end) of the text.
void spans_within(const std::vector<AllowedSpan>& all, size_t& first, uint32_t start, uint32_t end,
                  std::vector<AllowedSpan>& part) {
  part.clear();
  while (first < all.size() && all[first].end <= start) ++first;
  for (size_t i = first; i < all.size() && all[i].start < end; ++i)
    part.push_back({std::max(all[i].start, start) - start, std::min(all[i].end, end) - start, all[i].allow});
}

}  // namespace

std::unique_ptr<Merger> Encoder::take_merger(const MergerLimits& limits) {
  const bool is_usual = limits == MergerLimits{};
  const std::lock_guard lock(mutex_);
  if (!is_usual || idle_.empty()) return std::make_unique<Merger>(*vocabulary_, limits);
  auto merger = std::move(idle_.back());
  idle_.pop_back();
  return merger;
}

void Encoder::give_back(std::unique_ptr<Merger> merger) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(merger));
}

std::vector<uint32_t> Encoder::encode(EncodeRequest& request, const std::atomic<bool>* stop) {
  Watch watch(stop);
  watch.look();
  std::vector<AllowedSpan> spans, part;
  const std::string text = to_utf8(request.text, request.spans, spans, watch);
  request.text = {};
  std::vector<FoundToken> found;
  vocabulary_->raw_tokens().split(text, spans, vocabulary_->guards(), found, watch);

  const bool is_usual = request.limits == MergerLimits{};
  std::unique_ptr<Merger> merger = take_merger(request.limits);
  std::vector<uint32_t> ids, marks;
  std::string buffer;
  std::vector<FoundToken> within;
  size_t first = 0;
  for (const FoundToken& stretch : found) {
    if (stretch.id >= 0) {
      ids.push_back(uint32_t(stretch.id));
      continue;
    }
    // Each stretch is normalised by itself, so that a mark at its beginning does not join the token before it.
    const std::string_view raw = std::string_view(text).substr(stretch.start, stretch.end - stretch.start);
    if (vocabulary_->normalized_tokens().empty()) {
      const std::string_view normal = normalize(raw, vocabulary_->form(), buffer, {}, watch);
      merger->append(normal, watch, request.most_ids, ids);
      continue;
    }
    spans_within(spans, first, stretch.start, stretch.end, part);
    marks.clear();
    for (const AllowedSpan& span : part) marks.push_back(span.start);
    const std::string_view normal = normalize(raw, vocabulary_->form(), buffer, marks, watch);
    for (size_t i = 0; i < part.size(); ++i)
      part[i] = {marks[i], i + 1 < part.size() ? marks[i + 1] : uint32_t(normal.size()), part[i].allow};
    vocabulary_->normalized_tokens().split(normal, part, vocabulary_->guards(), within, watch);
    for (const FoundToken& token : within) {
      if (token.id >= 0)
        ids.push_back(uint32_t(token.id));
      else
        merger->append(normal.substr(token.start, token.end - token.start), watch, request.most_ids, ids);
    }
  }
  if (is_usual) give_back(std::move(merger));
  if (ids.size() > request.most_ids) throw TooManyIds{};
  return ids;
}

}  // namespace kexa
