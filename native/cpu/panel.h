// The CPU device's inner loops, which are compiled once for each instruction set. A file of its own for each set fills
// a table of functions; the best set that the processor has is chosen when the program runs.
#pragma once

#include "base/instruction_set.h"
#include "base/type.h"
#include "quant/rounded.h"

namespace kexa {

// Weight rows that one panel multiplies, and activation rows at most.
constexpr int kPanelOutputs = 6;
constexpr int kPanelRows = 128;

// Where a panel's weights come from.
struct PanelSource {
  Type type = Type::kF32;
  int columns = 0;
  const std::byte* rows[kPanelOutputs];  // a short panel repeats its first one
  // Of f8_e4m3: each row's, one for every block_columns columns. Blocks end at whole multiples of 16 or with the row.
  const float* scales[kPanelOutputs];
  int block_columns = 1;
};

// Scores are searched in blocks of so many.
constexpr int kScoreBlock = 32;

// Looks for a token whose score plus its Gumbel noise (random.h) may be at least the best sum known.
struct NoiseSearch {
  const float* scores;  // [count], at most 0
  int count;            // whole blocks
  uint64_t seed;
  uint32_t position;
  float least;   // scores below it are passed over
  float chance;  // e^-(the best sum)
};

// Every sum of products is taken in sixteen lanes, column i into lane i % 16, and the lanes are then added in pairs
// that are 8, 4, 2 and 1 apart. So it depends on the row's length alone, never on the rows that are computed beside it,
// and the sets that fuse multiplication and addition (all but plain) agree to the last bit.
struct PanelKernels {
  // out[o * kPanelRows + r] = weight row o . x[r], for `rows` <= kPanelRows.
  void (*multiply_panel)(const PanelSource& weights, const float* const* x, int rows, float* out);

  // The same by rounded rows, of the types that takes_rounded() names. Here a row's product depends on nothing else
  // either: blocks are summed in whole numbers, and then in an order of their own.
  void (*multiply_rounded_panel)(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out);

  // n stored elements as floats, of any type but f8_e4m3.
  void (*read_elements)(const std::byte* from, Type type, int n, float* out);

  // a . b over n floats.
  float (*dot)(const float* a, const float* b, int n);

  // out[i] += sum over j of factors[j] * rows[j][i], j ascending, over n elements of a cache's type, in whole blocks.
  void (*add_scaled)(Type type, const std::byte* const* rows, const float* factors, int count, int n, float* out);

  // out[i] = e^(x[i] - from), which must not be above 1, to 1e-15 of itself.
  void (*exps)(const float* x, double from, int n, double* out);

  // The first token from `from` on that may win; -1 if there is none. It never passes over one that wins.
  int (*next_possible)(const NoiseSearch& search, int from);
};

const PanelKernels& panel_kernels(InstructionSet set);

// Those of chosen_instruction_set(). Throws as it does.
const PanelKernels& panel_kernels();

extern const PanelKernels kPlainKernels;
#if defined(__x86_64__)
extern const PanelKernels kAvx2Kernels, kAvx512Kernels, kAvx512VnniKernels;
#elif defined(__aarch64__)
extern const PanelKernels kNeonKernels;
#endif

}  // namespace kexa
