// The tables in which types of GGUF look up their codes. They are constants of the format.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace kexa {

// Grids of magnitudes, and of -1, 0 and 1 (iq1). An entry of the iq1 grid has 8 indices of 2 bits into kIq1Values. An
// entry of an iq2 grid has 8 indices of 2 bits into kIq2Values. An entry of an iq3 grid has 4 indices of 4 bits into
// kIq3Values, or for iq3_s into kIq3SValues. The first index is in the lowest bits.
extern const std::array<uint16_t, 256> kIq2XxsGrid;
extern const std::array<uint16_t, 512> kIq2XsGrid;
extern const std::array<uint16_t, 1024> kIq2SGrid;
extern const std::array<uint16_t, 256> kIq3XxsGrid;
extern const std::array<uint16_t, 512> kIq3SGrid;
extern const std::array<uint16_t, 2048> kIq1Grid;
constexpr std::array<int8_t, 3> kIq2Values = {8, 25, 43};
constexpr std::array<int8_t, 8> kIq3Values = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<uint8_t, 3> kIq1Values = {248, 0, 8};  // -8, 0 and 8 as bytes: eighths
constexpr std::array<int8_t, 8> kIq3SValues = {1, 3, 5, 7, 9, 11, 13, 15};

// The same entries with a byte for each magnitude. kIqSignBytes has a byte for each of the 8 signs that 7 stored bits
// stand for: 255 for minus, else 0.
template <typename Word, int entries>
struct ByteTable {
  Word of[entries];
};
extern const ByteTable<uint64_t, 256> kIq2XxsBytes;
extern const ByteTable<uint64_t, 512> kIq2XsBytes;
extern const ByteTable<uint64_t, 1024> kIq2SBytes;
extern const ByteTable<uint32_t, 256> kIq3XxsBytes;
extern const ByteTable<uint32_t, 512> kIq3SBytes;
extern const ByteTable<uint64_t, 2048> kIq1Bytes;
extern const ByteTable<uint64_t, 128> kIqSignBytes;

// The levels of iq4_nl and iq4_xs, by code.
constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// The levels of e2m1, by code, doubled to be whole numbers. The code of -0 stands for 0.
constexpr std::array<int8_t, 16> kMxfp4Values = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Returns the 8 signs that 7 stored bits stand for, a bit each, 1 for minus. The number of minuses is always even.
constexpr uint8_t iq_signs(uint32_t index) { return uint8_t(index | uint32_t(std::popcount(index) & 1) << 7); }

// Returns half of an e8m0 scale: 2^(bits - 128). The two smallest are subnormal.
__attribute__((always_inline)) constexpr float half_of_e8m0(uint8_t bits) {
  return std::bit_cast<float>(bits < 2 ? 0x00200000u << bits : uint32_t(bits - 1) << 23);
}

// Returns half of an nvfp4 scale: e4m3, its sign ignored. The format takes the code 0x7f, a NaN, for 0.
__attribute__((always_inline)) constexpr float half_of_ue4m3(uint8_t bits) {
  return bits == 0x7f ? 0.0f : std::bit_cast<float>((bits & 0x7fu) << 20) * 0x1p119f;
}

}  // namespace kexa
