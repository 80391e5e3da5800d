// Chooses tokens on the GPU, and continues from them.
#pragma once

#include "device/device.h"
#include "kernels/buffers/activations.h"

namespace kexa {

class Choosing {
 public:
  // `plan` must outlive it.
  Choosing(KernelSet& kernels, const ModelDescription& description, const Plan& plan, const Activations& activations);

  // Device::begin_choosing. Takes effect before the next submit runs.
  void begin(const KernelSet& kernels, int slot, const SamplingParams& params, std::span<const int> ids,
             size_t prompt_size);

  // Takes the masks of a group. `used` counts the rows of masks that the step has so far. Returns the row of `masks`
  // where they begin. They take effect before the next submit runs.
  uint32_t add_masks(const KernelSet& kernels, std::span<const uint32_t> masks, size_t& used) const;

  // Fills in the rows of following groups, among the first `groups` groups of the step.
  void run_follow(const KernelSet& kernels, int groups) const { kernels.run(follow_, groups); }
  // Choose for the first `groups` groups.
  void run_choose(const KernelSet& kernels, int groups) const { kernels.run(choose_, groups); }
  void run_draft(const KernelSet& kernels, int groups) const { kernels.run(choose_draft_, groups); }
  // Moves the hidden states of the rows that were chosen from to the first rows.
  void run_next_draft(const KernelSet& kernels) const { kernels.run(next_draft_, 1); }

  // A slot's sequence, as it lies in records(). `tokens` are those that the last step chose. `length` counts all
  // tokens; the last one has not been run.
  struct Record {
    uint32_t problem = 0, chosen = 0;
    uint32_t tokens[kMaxDrafts + 1] = {};
    uint32_t length = 0, drafts = 0;
    uint32_t draft_tokens[kMaxDrafts] = {};
    uint32_t unused[kSequenceWords - 2 * kMaxDrafts - 5] = {};
  };
  static_assert(sizeof(Record) == kSequenceWords * sizeof(uint32_t));
  // [slots] Record, then [slots, kMaxDrafts + 1, kChoiceWords]: a choice for each of a record's tokens.
  const Buffer& records() const { return sequences_; }
  uint64_t record_bytes() const { return uint64_t(options_.slots) * sizeof(Record); }
  uint64_t choices_at(int slot) const { return record_bytes() + uint64_t(slot) * choice_bytes(kMaxDrafts + 1); }
  static constexpr uint64_t choice_bytes(int tokens) { return uint64_t(tokens) * kChoiceWords * sizeof(uint32_t); }

  // Gives `to` the tokens and drafts of a record, or its problem.
  void give(const Record& record, Chosen& to) const;
  // Gives `to` the log-probabilities of its tokens, with so many alternatives, from their choices.
  void give_choices(std::span<const uint32_t> choices, int alternatives, Chosen& to) const;

 private:
  const PlanOptions& options_;
  int vocab_, context_;
  // `masks_` is [slots + decode rows, mask_words(vocab)]. Row `slot` has a bit for each token but the end tokens of a
  // slot with min_tokens. The masks of a step's groups follow.
  Buffer sampling_, bias_, masks_, sequences_, marks_, history_;
  BoundKernel follow_, choose_, choose_draft_, next_draft_;
};

}  // namespace kexa
