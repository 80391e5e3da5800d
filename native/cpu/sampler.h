// Choosing the next token on the CPU.
#pragma once

#include <span>

#include "device/sampling.h"
#include "cpu/panel.h"

namespace kexa {

// One sequence's sampling.
//
// Of a vocabulary of 153,600 tokens nearly all are ruled out without computing what decides about them. What is left
// out never changes a choice: it is the one that the definition in device/sampling.h gives, sums of probabilities being
// taken in double and in the order of the ids.
class Sampler {
 public:
  Sampler(SamplingParams params, int vocab, const PanelKernels& loops = panel_kernels());

  // The next token after `ids`, of which the last `ids.size() - prompt_size` are the answer so far: always one of the
  // vocabulary. All logits must be finite (check_logits), and all of `ids` in the vocabulary.
  // Throws KEXA_INVALID_ARGUMENT if the bias bans every token.
  int choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size);

 private:
  // In order of preference, the best score first and the lowest id among equals: the last token that is kept.
  struct Cut {
    float score;
    int id;
    bool keeps(float other, int token) const { return other > score || (other == score && token <= id); }
  };
  struct Bins;

  void penalize(std::span<const int> ids, size_t prompt_size);
  int draw(int best, uint32_t position);
  bool has_top_k() const { return params_.top_k > 0 && params_.top_k < vocab_; }

  // Where, in order of preference, the weights of tokens first come to what is wanted: so many tokens or, with
  // `is_mass`, such a share of all their probability.
  struct Reached {
    Cut cut;
    double before, with;  // the sums without the cut's token, and with it
    double goal, total;
  };
  // Among `tokens`, in the order of their ids; none: all of them.
  Reached search(std::vector<int> tokens, bool is_mass, double wanted);
  void fill_bins(const Bins& bins, bool is_mass);
  void weigh(const std::vector<int>& tokens, bool is_mass);

  Cut cut_of_mass(std::vector<int> tokens);
  // The same by the definition, which takes ten times as long: where two sums are too near each other to tell.
  Cut exact_cut_of_mass();

  const PanelKernels* loops_;
  SamplingParams params_;
  int vocab_;
  float least_kept_;              // by min-p: the lowest score whose probability is enough
  std::vector<float> adjusted_;   // [vocab], logits with bias and penalties
  std::vector<float> scores_;     // [vocab, to whole blocks], by temperature, counted from the best: 0 or less
  std::vector<uint16_t> bins_;    // [vocab]
  std::vector<double> sums_;      // of a bin's weights
  std::vector<double> weights_;   // of the tokens that are looked at
  std::vector<uint32_t> counts_;  // [vocab], occurrences; all zero between calls
};

}  // namespace kexa
