// Chooses the next token on the CPU.
#pragma once

#include <span>

#include "cpu/panel.h"
#include "device/sampling.h"

namespace kexa {

// Nearly all of a vocabulary's 153,600 tokens are ruled out cheaply, without the noise or the sums that decide. This
// never changes a choice: it is the choice defined in device/sampling.h, with sums of probabilities in f64 and in the
// order of the ids.
// never changes a choice: it is the choice defined in device/sampling.h, with sums of probabilities in f64 and in the
// order of the ids.
class Sampler {
 public:
  Sampler(SamplingParams params, int vocab, const PanelKernels& loops = panel_kernels());

  // The next token after `ids`, which are the prompt (`prompt_size` tokens) and the answer so far. All logits must be
  // finite (check_logits) and all ids in the vocabulary. `mask` is as in Group::masks; empty: all tokens may be chosen.
  // Throws KEXA_INVALID_ARGUMENT if bias, mask and end tokens leave no token.
  int choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size,
             std::span<const uint32_t> mask = {});

 private:
  // The last token that is kept, in order of preference: the best score first, the lowest id among equals.
  struct Cut {
    float score;
    int id;
    bool keeps(float other, int token) const { return other > score || (other == score && token <= id); }
  };
  struct Bins;

  void penalize(std::span<const int> ids, size_t prompt_size);
  void ban(size_t answer_size, std::span<const uint32_t> mask);
  int draw(int best, uint32_t position);
  bool has_top_k() const { return params_.top_k > 0 && params_.top_k < vocab_; }

  // The token, in order of preference, at which the sum of the weights reaches the goal: a number of tokens or, with
  // `is_mass`, a share of their probability.
  struct Reached {
    Cut cut;
    double before, with;  // the sums without and with the cut's token
    double goal, total;
  };
  // Searches `tokens`, which are in the order of their ids. Empty: all tokens.
  Reached search(std::vector<int> tokens, bool is_mass, double wanted);
  void fill_bins(const Bins& bins, bool is_mass);
  void weigh(const std::vector<int>& tokens, bool is_mass);

  Cut cut_of_mass(std::vector<int> tokens);
  // The cut by its definition, which takes ten times as long. Used if two sums are too close to tell apart.
  Cut exact_cut_of_mass();

  const PanelKernels* loops_;
  SamplingParams params_;
  int vocab_;
  float least_kept_;              // the lowest score that min-p keeps
  std::vector<float> adjusted_;   // [vocab], logits with bias and penalties
  std::vector<float> scores_;     // [vocab, to whole blocks], logits by temperature, relative to the best: 0 or less
  std::vector<uint16_t> bins_;    // [vocab]
  std::vector<double> sums_;      // the weights in each bin
  std::vector<double> weights_;   // of the tokens that are searched
  std::vector<uint32_t> counts_;  // [vocab], occurrences; all zero between calls
};

}  // namespace kexa
