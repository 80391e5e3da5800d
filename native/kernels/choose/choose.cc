#include "kernels/choose/choose.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "device/vocabulary.h"

namespace kexa {
namespace {

// A slot's sequence, in words: a Record (the problem, the number of tokens that the last step chose, and these tokens),
// the number of tokens in all (the last one has not been run), the number of drafts and the drafts.
constexpr int kProblem = 0, kChosen = 1, kTokens = 2;
constexpr int kLength = kTokens + kMaxDrafts + 1;
constexpr int kDrafts = kLength + 1, kDraftTokens = kDrafts + 1;
static_assert(kDraftTokens + kMaxDrafts <= kSequenceWords);

constexpr uint32_t kNoProblem = 0xffffffffu, kAllBanned = 0xfffffffeu;
// WGSL has no infinities. The kernel takes the lowest float for a ban, and no other bias is so low.
constexpr float kBanned = std::numeric_limits<float>::lowest();
// Lower temperatures draw the same tokens. At this one the inverse is still finite.
constexpr float kColdest = 1e-20f;

}  // namespace

Choosing::Choosing(KernelSet& kernels, const ModelDescription& description, const Plan& plan,
                   const Activations& activations)
    : options_(plan.options), vocab_(description.vocab_size), context_(plan.options.context_size) {
  Gpu& gpu = kernels.gpu();
  const auto make = [&](const char* label) { return gpu.create_buffer(label, plan.gpu.bytes_of(label), true); };
  sampling_ = make("sampling");
  bias_ = make("logit bias");
  sequences_ = make("sequences");
  marks_ = make("token counts");
  history_ = make("token history");

  Prelude sequence = kernels.prelude();
  sequence.set("SEQUENCE_WORDS", kSequenceWords)
      .set("SEQUENCE_PROBLEM", kProblem)
      .set("SEQUENCE_CHOSEN", kChosen)
      .set("SEQUENCE_TOKENS", kTokens)
      .set("SEQUENCE_LENGTH", kLength)
      .set("SEQUENCE_DRAFTS", kDrafts)
      .set("SEQUENCE_DRAFT_TOKENS", kDraftTokens);
  follow_ = kernels.make("follow", sequence, {read(sequences_), write(activations.step)}, 1);
  const auto make_choose = [&](bool is_draft) {
    Prelude prelude = sequence;
    prelude.set("VOCAB", vocab_)
        .set("CONTEXT", context_)
        .set("IS_DRAFT", is_draft)
        // One workgroup walks the whole vocabulary, so it is as large as it may be.
        .set("THREADS", gpu.facts().max_invocations >= 1024 ? 1024 : 256);
    return kernels.make("choose", prelude,
                        {read(activations.logits), read(sampling_), read(bias_), write(activations.step),
                         write(sequences_), write(marks_), write(history_)},
                        1);
  };
  choose_ = make_choose(false);
  if (!description.mtp) return;
  choose_draft_ = make_choose(true);
  sequence.set("STRIDE", padded(description.hidden_size));
  next_draft_ =
      kernels.make("next_draft", sequence, {read(sequences_), write(activations.step), write(activations.hidden)}, 1);
}

void Choosing::begin(const KernelSet& kernels, int slot, const SamplingParams& params, std::span<const int> ids,
                     size_t prompt_size) {
  Gpu& gpu = kernels.gpu();
  const auto write_words = [&](const Buffer& to, uint64_t at, const auto& words) {
    gpu.write(to, at * sizeof(words[0]), std::as_bytes(std::span(words)));
  };
  const bool has_repeat_penalty = params.repeat_penalty != 1 && params.repeat_last_n != 0;
  const bool has_penalties = has_repeat_penalty || params.presence_penalty != 0 || params.frequency_penalty != 0;
  // A window longer than any sequence never lets a token go.
  const uint32_t window = has_repeat_penalty && params.repeat_last_n > 0 ? uint32_t(params.repeat_last_n) : 0xfffffff0u;
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  const uint32_t sampling[kSamplingWords] = {
      bits(params.temperature),
      uint32_t(params.top_k),
      bits(params.top_p),
      bits(params.min_p),
      bits(has_repeat_penalty ? params.repeat_penalty : 1),
      window,
      bits(params.presence_penalty),
      bits(params.frequency_penalty),
      uint32_t(params.seed),
      uint32_t(params.seed >> 32),
      !params.logit_bias.empty(),
      has_penalties,
      params.temperature > 0 ? bits(1 / std::max(params.temperature, kColdest)) : 0,
  };
  write_words(sampling_, uint64_t(slot) * kSamplingWords, sampling);
  uint32_t sequence[kSequenceWords] = {kNoProblem};
  sequence[kLength] = uint32_t(ids.size());
  write_words(sequences_, uint64_t(slot) * kSequenceWords, sequence);

  if (!params.logit_bias.empty()) {
    std::vector<float> bias(vocab_);
    for (const auto& [token, value] : params.logit_bias) {
      if (bias[token] == kBanned) continue;
      bias[token] = value == -INFINITY ? kBanned : saturated(bias[token] + value);
    }
    write_words(bias_, uint64_t(slot) * vocab_, bias);
  }
  if (has_penalties) {
    std::vector<uint32_t> marks(size_t(vocab_) * 2);
    for (size_t i = ids.size() > window ? ids.size() - window : 0; i < ids.size(); ++i) ++marks[size_t(ids[i]) * 2];
    for (size_t i = prompt_size; i < ids.size(); ++i) ++marks[size_t(ids[i]) * 2 + 1];
    write_words(marks_, uint64_t(slot) * vocab_ * 2, marks);
    write_words(history_, uint64_t(slot) * context_, ids);
  }
}

uint64_t Choosing::record_offset(int slot) { return uint64_t(slot) * kSequenceWords * 4; }

std::vector<int> Choosing::tokens_of(const Record& record) const {
  if (record.problem == kAllBanned) throw Error("KEXA_INVALID_ARGUMENT", "logitBias bans every token");
  if (record.problem != kNoProblem) throw not_finite_logit(int(record.problem), options_);
  if (record.chosen > std::size(record.tokens))
    throw Error("KEXA_INTERNAL", "the GPU says that one step chose " + std::to_string(record.chosen) + " tokens");
  return {record.tokens, record.tokens + record.chosen};
}

}  // namespace kexa
