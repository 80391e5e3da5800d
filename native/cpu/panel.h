// The inner loops of the CPU device. They are compiled once for each instruction set, each in a file of its own that
// fills a table of functions. The best set of the processor is chosen when the program runs.
#pragma once

#include "base/instruction_set.h"
#include "base/type.h"
#include "quant/rounded.h"

namespace kexa {

// Weight rows that one panel multiplies, and the most rows of activations.
constexpr int kPanelOutputs = 6;
constexpr int kPanelRows = 128;

// The weights of a panel.
struct PanelSource {
  Type type = Type::kF32;
  int columns = 0;
  const std::byte* rows[kPanelOutputs];  // a short panel repeats its first row
  // For f8_e4m3: the scales of each row, one for every block_columns columns. Blocks end at multiples of 16 or with the
  // row.
  const float* scales[kPanelOutputs];
  int block_columns = 1;
};

// Scores are searched in blocks of this many.
constexpr int kScoreBlock = 32;

// A search for a token whose score plus Gumbel noise (random.h) may be at least the best sum known.
struct NoiseSearch {
  const float* scores;  // [count], at most 0
  int count;            // a multiple of kScoreBlock
  uint64_t seed;
  uint32_t position;
  float least;   // lower scores are skipped
  float chance;  // e^-(the best sum)
};

// Every sum of products has sixteen lanes: column i goes into lane i % 16, and then lanes 8, 4, 2 and 1 apart are added
// in pairs. So a sum depends on the row's length alone, never on other rows. All sets that fuse multiplication and
// addition (all but plain) agree to the last bit.
struct PanelKernels {
  // out[o * kPanelRows + r] = weight row o . x[r], for `rows` <= kPanelRows.
  void (*multiply_panel)(const PanelSource& weights, const float* const* x, int rows, float* out);

  // The same product for rows rounded to 16 bits and types that takes_rounded() accepts. A row's product depends on
  // nothing else here either: each block is summed in whole numbers, and the blocks in an order of their own.
  void (*multiply_rounded_panel)(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out);

  // Reads n stored elements as floats. Any type but f8_e4m3.
  void (*read_elements)(const std::byte* from, Type type, int n, float* out);

  // a . b over n floats.
  float (*dot)(const float* a, const float* b, int n);

  // out[i] += sum over j of factors[j] * rows[j][i], in ascending order of j. n is the number of elements, whole blocks
  // of a cache's type.
  void (*add_scaled)(Type type, const std::byte* const* rows, const float* factors, int count, int n, float* out);

  // out[i] = e^(x[i] - from), to 1e-15 of itself. It must not be above 1.
  void (*exps)(const float* x, double from, int n, double* out);

  // The first token from `from` on that may win; -1 if there is none. It never skips one that wins.
  int (*next_possible)(const NoiseSearch& search, int from);
};

const PanelKernels& panel_kernels(InstructionSet set);

// The loops of chosen_instruction_set().
const PanelKernels& panel_kernels();

extern const PanelKernels kPlainKernels;
#if defined(__x86_64__)
extern const PanelKernels kAvx2Kernels, kAvx512Kernels;
// multiply_rounded_panel() with AVX-512 VNNI. The set's other loops are those of kAvx512Kernels.
void multiply_rounded_panel_vnni(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out);
#elif defined(__aarch64__)
extern const PanelKernels kNeonKernels;
#endif

}  // namespace kexa
