#include "device/vocabulary.h"

#include <array>
#include <bit>
#include <string>

namespace kexa {

void check_tokens(std::span<const int> ids, int vocab) {
  for (int id : ids)
    if (id < 0 || id >= vocab)
      throw Error("KEXA_INTERNAL",
                  "wanted token ids from 0 to " + std::to_string(vocab - 1) + ", found " + std::to_string(id));
}

void check_tokens(const Step& step, int vocab) {
  for (const Row& row : step.rows) check_tokens(std::array{row.token, row.next}, vocab);
}

Error not_finite_logit(int token, const PlanOptions& options) {
  std::string cause = "the weights are damaged";
  // f16 has no numbers beyond 65,504, and blocks store their scales in f16.
  if (options.cache_type != Type::kF32 && options.cache_type != Type::kBf16)
    cause += ", or a value is too large for the KV cache (try cacheType 'f32')";
  if (options.gpu_elements == Type::kF16) cause += ", or a value is too large for f16 (try gpuElements 'f32')";
  return Error("KEXA_BAD_FILE", "logit of token " + std::to_string(token) + " is not a finite number: " + cause);
}

Error all_banned() {
  return Error("KEXA_INVALID_ARGUMENT",
               "logitBias bans every token, or every token but the end tokens that minTokens still forbids");
}

void check_logits(std::span<const float> logits, const PlanOptions& options) {
  // Compares magnitudes by their bits, whose order is the same.
  const auto magnitude = [](float logit) { return std::bit_cast<int32_t>(logit) & 0x7fffffff; };
  const auto is_finite = [&](float logit) { return magnitude(logit) < 0x7f800000; };
  int32_t largest = 0;
  for (float logit : logits) largest = std::max(largest, magnitude(logit));
  if (largest < 0x7f800000) return;
  const auto found = std::find_if_not(logits.begin(), logits.end(), is_finite);
  throw not_finite_logit(int(found - logits.begin()), options);
}

}  // namespace kexa
