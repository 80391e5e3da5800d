// Random numbers without state. They depend only on their purpose, so every device draws the same.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace kexa {

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0], b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
               uint32_t(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// In (0, 1), with 23 bits. With one bit more, rounding would lose the 0.5 and the largest number would be 1. Its Gumbel
// noise is infinite and would choose any token, however improbable.
inline float to_uniform(uint32_t bits) { return (float(bits >> 9) + 0.5f) * 0x1p-23f; }

// Standard Gumbel noise for one token at one position: argmax(log p + noise) is a draw from p.
inline float gumbel(uint64_t seed, uint32_t position, uint32_t token) {
  const auto words = philox({token / 4, position, 0, 0}, {uint32_t(seed), uint32_t(seed >> 32)});
  return -std::log(-std::log(to_uniform(words[token % 4])));
}

}  // namespace kexa
