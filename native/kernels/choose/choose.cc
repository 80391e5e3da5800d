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

// The repeat penalty has no effect if it is 1 or looks at no token.
bool has_repeat_penalty(const SamplingParams& params) {
  return params.repeat_penalty != 1 && params.repeat_last_n != 0;
}
bool has_penalties(const SamplingParams& params) {
  return has_repeat_penalty(params) || params.presence_penalty != 0 || params.frequency_penalty != 0;
}

// Tokens that the repeat penalty looks back at. A window longer than any sequence never lets a token go.
uint32_t repeat_window(const SamplingParams& params) {
  return has_repeat_penalty(params) && params.repeat_last_n > 0 ? uint32_t(params.repeat_last_n) : 0xfffffff0u;
}

struct SamplingWord {
  const char* name;  // as choose.wgsl has it, after SAMPLING_
  uint32_t value;
};

// How a slot's tokens are chosen, as choose.wgsl reads it: a word each, in this order.
std::vector<SamplingWord> sampling_words(const SamplingParams& params) {
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  const float inverse = params.temperature > 0 ? 1 / std::max(params.temperature, kColdest) : 0;
  return {
      {"IS_GREEDY", params.temperature == 0},
      {"INVERSE_TEMPERATURE", bits(inverse)},
      {"TOP_K", uint32_t(params.top_k)},
      {"TOP_P", bits(params.top_p)},
      {"MIN_P", bits(params.min_p)},
      {"HAS_PENALTIES", has_penalties(params)},
      {"REPEAT_PENALTY", bits(has_repeat_penalty(params) ? params.repeat_penalty : 1)},
      {"REPEAT_WINDOW", repeat_window(params)},
      {"PRESENCE_PENALTY", bits(params.presence_penalty)},
      {"FREQUENCY_PENALTY", bits(params.frequency_penalty)},
      {"HAS_BIAS", !params.logit_bias.empty()},
      {"SEED_LOW", uint32_t(params.seed)},
      {"SEED_HIGH", uint32_t(params.seed >> 32)},
  };
}

// Sets SAMPLING_WORDS, the words of a slot, and the place of each among them: SAMPLING_TOP_K and so on.
void set_sampling_words(Prelude& prelude) {
  prelude.set("SAMPLING_WORDS", kSamplingWords);
  int place = 0;
  for (const SamplingWord& word : sampling_words({})) prelude.set(std::string("SAMPLING_") + word.name, place++);
  if (place > kSamplingWords) throw Error("KEXA_INTERNAL", "sampling has more words than kSamplingWords");
}

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
    set_sampling_words(prelude);
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
  std::vector<uint32_t> sampling;
  for (const SamplingWord& word : sampling_words(params)) sampling.push_back(word.value);
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
  if (has_penalties(params)) {
    const uint32_t window = repeat_window(params);
    std::vector<uint32_t> marks(size_t(vocab_) * 2);
    for (size_t i = ids.size() > window ? ids.size() - window : 0; i < ids.size(); ++i) ++marks[size_t(ids[i]) * 2];
    for (size_t i = prompt_size; i < ids.size(); ++i) ++marks[size_t(ids[i]) * 2 + 1];
    write_words(marks_, uint64_t(slot) * vocab_ * 2, marks);
    write_words(history_, uint64_t(slot) * context_, ids);
  }
}

uint64_t Choosing::record_offset(int slot) { return uint64_t(slot) * kSequenceWords * 4; }

std::vector<int> Choosing::tokens_of(const Record& record) const {
  if (record.problem == kAllBanned) throw all_banned();
  if (record.problem != kNoProblem) throw not_finite_logit(int(record.problem), options_);
  if (record.chosen > std::size(record.tokens))
    throw Error("KEXA_INTERNAL", "the GPU says that one step chose " + std::to_string(record.chosen) + " tokens");
  return {record.tokens, record.tokens + record.chosen};
}

}  // namespace kexa
