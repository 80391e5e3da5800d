#include "kernels/choose/choose.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/error.h"
#include "device/vocabulary.h"

namespace kexa {
namespace {

using Record = Choosing::Record;

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

// How the tokens of a slot are chosen after a prompt of `prompt_size` tokens, as choose.wgsl reads it: a word each, in
// this order.
std::vector<SamplingWord> sampling_words(const SamplingParams& params, size_t prompt_size) {
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
      // The position from which on the end tokens may be chosen.
      {"END_POSITION", params.min_tokens > 0 ? uint32_t(prompt_size) + uint32_t(params.min_tokens) : 0},
      {"SEED_LOW", uint32_t(params.seed)},
      {"SEED_HIGH", uint32_t(params.seed >> 32)},
  };
}

// Rows of a workgroup of follow, and columns of one of next_draft.
constexpr int kFollowThreads = 64, kMoveThreads = 64;

// Sets where the groups of a step and their rows lie in the step state.
void set_group_places(Prelude& prelude, const StepPlaces& places) {
  prelude.set("STEP_GROUP_COUNT", kStepGroupCount)
      .set("STEP_MTP_ROWS", kStepMtpRows)
      .set("STEP_GROUPS", kStepGroups)
      .set("STEP_GROUP_WORDS", kStepGroupWords)
      .set("GROUP_SLOT", kGroupSlot)
      .set("GROUP_FIRST_ROW", kGroupFirstRow)
      .set("GROUP_ROWS", kGroupRows)
      .set("GROUP_IS_FOLLOWING", kGroupIsFollowing)
      .set("GROUP_FIRST_LOGIT", kGroupFirstLogit)
      .set("GROUP_LOGITS", kGroupLogits)
      .set("GROUP_DRAFTS", kGroupDrafts)
      .set("GROUP_MASK", kGroupMask)
      .set("GROUP_CHOICES", kGroupChoices)
      .set("STEP_DRAFT_ROWS", places.draft_rows())
      .set("STEP_IN_ORDER", places.in_order())
      .set("STEP_LOGIT_ROWS", places.logit_rows())
      .set("FOLLOW_THREADS", kFollowThreads)
      .set("MOVE_THREADS", kMoveThreads)
      .declare("fn step_group(group: u32) -> u32 { return STEP_GROUPS + group * STEP_GROUP_WORDS; }\n");
}

// Sets SAMPLING_WORDS, the words of a slot, and the place of each among them: SAMPLING_TOP_K and so on.
void set_sampling_words(Prelude& prelude) {
  prelude.set("SAMPLING_WORDS", kSamplingWords);
  int place = 0;
  for (const SamplingWord& word : sampling_words({}, 0)) prelude.set(std::string("SAMPLING_") + word.name, place++);
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
  masks_ = make("masks");
  sequences_ = make("sequences");
  marks_ = make("token counts");
  history_ = make("token history");

  const auto place = [](size_t offset) { return uint32_t(offset / sizeof(uint32_t)); };
  Prelude sequence = kernels.prelude();
  sequence.set("SEQUENCE_WORDS", kSequenceWords)
      .set("SEQUENCE_PROBLEM", place(offsetof(Record, problem)))
      .set("SEQUENCE_CHOSEN", place(offsetof(Record, chosen)))
      .set("SEQUENCE_TOKENS", place(offsetof(Record, tokens)))
      .set("SEQUENCE_LENGTH", place(offsetof(Record, length)))
      .set("SEQUENCE_DRAFTS", place(offsetof(Record, drafts)))
      .set("SEQUENCE_DRAFT_TOKENS", place(offsetof(Record, draft_tokens)));
  set_group_places(sequence, kernels.places());
  follow_ = kernels.make_rows_first("follow", sequence, {read(sequences_), write(activations.step)}, 1, kFollowThreads);
  const auto make_choose = [&](bool is_draft) {
    Prelude prelude = sequence;
    set_sampling_words(prelude);
    prelude.set("CHOICES_AT", options_.slots * kSequenceWords)
        .set("MOST_CHOSEN", kMaxDrafts + 1)
        .set("CHOICE_WORDS", kChoiceWords)
        .set("CHOICE_SUM", kChoiceSum)
        .set("CHOICE_BEST", kChoiceBest)
        .set("CHOICE_OWN", kChoiceOwn)
        .set("CHOICE_TOP", kChoiceTop)
        .set("VOCAB", vocab_)
        .set("CONTEXT", context_)
        .set("MASK_WORDS", mask_words(vocab_))
        .set("IS_DRAFT", is_draft)
        // One workgroup walks the whole vocabulary, so it is as large as it may be.
        .set("THREADS", gpu.facts().max_invocations >= 1024 ? 1024 : 256);
    return kernels.make_rows_first("choose", prelude,
                                   {read(activations.logits), read(sampling_), read(bias_), read(masks_),
                                    write(activations.step), write(sequences_), write(marks_), write(history_)},
                                   1);
  };
  choose_ = make_choose(false);
  if (!description.mtp) return;
  choose_draft_ = make_choose(true);
  sequence.set("STRIDE", padded(description.hidden_size));
  next_draft_ = kernels.make("next_draft", sequence, {read(activations.step), write(activations.hidden)},
                             ceil_div(padded(description.hidden_size), kMoveThreads));
}

void Choosing::begin(const KernelSet& kernels, int slot, const SamplingParams& params, std::span<const int> ids,
                     size_t prompt_size) {
  Gpu& gpu = kernels.gpu();
  const auto write_words = [&](const Buffer& to, uint64_t at, const auto& words) {
    gpu.write(to, at * sizeof(words[0]), std::as_bytes(std::span(words)));
  };
  std::vector<uint32_t> sampling;
  for (const SamplingWord& word : sampling_words(params, prompt_size)) sampling.push_back(word.value);
  write_words(sampling_, uint64_t(slot) * kSamplingWords, sampling);
  const Record sequence[] = {{.problem = kNoProblem, .length = uint32_t(ids.size())}};
  write_words(sequences_, uint64_t(slot), sequence);

  if (params.min_tokens > 0) {
    std::vector<uint32_t> allowed(mask_words(vocab_), ~0u);
    for (int token : params.end_tokens) allowed[token / 32] &= ~(1u << (token % 32));
    write_words(masks_, uint64_t(slot) * mask_words(vocab_), allowed);
  }

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

uint32_t Choosing::add_masks(const KernelSet& kernels, std::span<const uint32_t> masks, size_t& used) const {
  const size_t row_bytes = size_t(mask_words(vocab_)) * sizeof(uint32_t), first = size_t(options_.slots) + used;
  if (first * row_bytes + masks.size_bytes() > masks_.bytes)
    throw Error("KEXA_INTERNAL", "a step has more masks than rows of answers");
  kernels.gpu().write(masks_, first * row_bytes, std::as_bytes(masks));
  used += masks.size_bytes() / row_bytes;
  return uint32_t(first);
}

void Choosing::give(const Record& record, Chosen& to) const {
  if (record.chosen > std::size(record.tokens) || record.drafts > std::size(record.draft_tokens))
    throw Error("KEXA_INTERNAL", "the GPU says that one step chose " + std::to_string(record.chosen) + " tokens and " +
                                     std::to_string(record.drafts) + " drafts");
  if (record.problem == kAllBanned)
    to.problem = std::make_exception_ptr(all_banned());
  else if (record.problem != kNoProblem)
    to.problem = std::make_exception_ptr(not_finite_logit(int(record.problem), options_));
  if (to.problem) return;
  to.tokens.assign(record.tokens, record.tokens + record.chosen);
  to.drafts.assign(record.draft_tokens, record.draft_tokens + record.drafts);
}

void Choosing::give_choices(std::span<const uint32_t> choices, int alternatives, Chosen& to) const {
  const auto number = [](uint32_t bits) { return double(std::bit_cast<float>(bits)); };
  for (size_t i = 0; i < to.tokens.size(); ++i) {
    const uint32_t* words = &choices[i * kChoiceWords];
    // Each word counts the 4096th parts of the word before it.
    double sum = 0;
    for (int word = 3; word >= 0; --word) sum = (sum + words[kChoiceSum + word]) / 4096;
    const double normalizer = number(words[kChoiceBest]) + std::log(sum);
    Choice choice{.token = to.tokens[i], .logprob = float(number(words[kChoiceOwn]) - normalizer), .top = {}};
    for (int a = 0; a < std::min(alternatives, vocab_); ++a)
      choice.top.emplace_back(int(words[kChoiceTop + 2 * a]),
                              float(number(words[kChoiceTop + 2 * a + 1]) - normalizer));
    to.choices.push_back(std::move(choice));
  }
}

}  // namespace kexa
