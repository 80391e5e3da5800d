// The text of kernels: the WGSL files of native/kernels, and the prelude that is put in front of each.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/numbers.h"
#include "plan/layout.h"

namespace kexa {

// The text of NAME.wgsl, which CMake puts into the program.
std::string_view kernel_source(std::string_view name);

// The names of a buffer's parts: NAME, NAME_1 and so on.
std::string part_name(std::string_view name, int part);

// A name in the spelling of constants.
std::string in_capitals(std::string_view name);

// `text` with each first word of `by` replaced by the second.
std::string replaced(std::string_view text, std::initializer_list<std::pair<std::string_view, std::string>> by);

// The text that the host writes in front of a kernel: constants, and the functions that read weights and cache rows.
class Prelude {
 public:
  Prelude& set(std::string_view name, uint32_t value) { return add(name, std::to_string(value) + "u"); }
  Prelude& set(std::string_view name, int value) { return set(name, uint32_t(value)); }
  Prelude& set(std::string_view name, bool value) { return add(name, value ? "true" : "false"); }
  Prelude& set(std::string_view name, float value);

  // Declares CHUNK_WORDS; low() and high(), the two halves of eight stored weights; add_product(), which sums their
  // products.
  Prelude& weights(Type type);
  // Declares the functions for a kernel that reads several types: `kind` is put before the names low() and high(). The
  // kernel sets CHUNK_WORDS itself.
  Prelude& weights(const std::string& kind, Type type);
  // Declares how a kernel reads rows of `columns` weights from the buffer NAME, which has `parts` parts named by
  // split():
  // - NAME_UNITS: units of a row (weight_units.h), NAME_UNIT_CHUNKS chunks of 8 weights each;
  // - NAME_chunk(unit, k): the index in the row of a unit's k-th chunk;
  // - PART_unit(at, unit): loads one unit, a NAME_Unit, for each part;
  // - NAME_values(unit, k): the 8 values of the unit's k-th chunk, as two halves;
  // - PART_word(at, chunk, i): the i-th of a chunk's CHUNK_WORDS words, for kernels that take one chunk at a time.
  // `at` is where the row begins (in words of 16 bytes). `kind` is put before low() and high(). `buffer` is the
  // binding's name where several types share one; empty: NAME.
  Prelude& reads(std::string_view name, Type type, int columns, int parts = 1, std::string_view kind = {},
                 std::string_view buffer = {});
  // Declares how a kernel reads rows of `columns` weights by blocks of 32, in whole numbers (dots_layout.h). The type
  // must be one that takes_dots() names:
  // - NAME_BLOCKS: blocks of a row; NAME_HAS_MIN: whether weights have a minimum;
  // - PART_block(at, block): loads one block, a NAME_Block, for each part;
  // - NAME_weights(own, block): the block as BlockWeights.
  // - load_NAME(part, rows_at, block, blocks): loads a block of each of four rows.
  Prelude& reads_blocks(std::string_view name, Type type, int columns, int parts = 1);
  // Also declares sum_NAME() of sum_blocks.wgsl, which begins at block `first_input` of a row of planes.
  Prelude& sums_blocks(std::string_view name, Type type, int columns, int parts = 1, int first_input = 0);
  // Declares prepare_dots(thread), which a kernel calls first, for the `types` that it reads by blocks.
  Prelude& prepares_dots(std::initializer_list<Type> types);

  // Declares cache_word(), the i-th word of a head in the cache's type. The kernel's element() gives the head's values.
  Prelude& cache_word(const KvLayout& kv);
  // Declares CacheWord, the element of the buffers `keys` and `values`, and keys_chunk() and values_chunk(), which read
  // eight elements of a head as two halves. `head` is the word at which the head begins.
  Prelude& cache_chunks(const KvLayout& kv);

  // For a buffer NAME whose experts are split into parts: declares the bindings of the further parts (NAME_1, NAME_2,
  // ...; the kernel itself binds the first), part_of(), the part of an expert, and place_in_part().
  Prelude& split(std::string_view name, int parts, int experts_per_part, int first_binding);
  // Declares a function whose `part`, a parameter or variable, tells which part BUFFER means in its body. Bindings
  // cannot be indexed, so there is a branch for each part. With one part there is no branch.
  Prelude& over_parts(std::string_view name, int parts, std::string_view signature, std::string_view body);

  // Adds the text of NAME.wgsl: functions that kernels share. Its constants must be set before.
  Prelude& include(std::string_view name);
  // Adds a text that a kernel needs several times: `as` replaces @NAME, and in capitals @UPPER.
  Prelude& include(std::string_view name, std::string_view as);

  // Adds any other declaration. `text` includes the end of the line.
  Prelude& declare(std::string_view text);

  // Declares another name for a type.
  Prelude& alias(std::string_view name, std::string_view type);

  // Whether weights lie in the order of products in whole numbers, where their type takes them. To be called first.
  Prelude& dots(bool has_dots);

  // Declares E, the type of activations between ops, and E4, a vector of four.
  Prelude& elements(bool is_f16);
  // Requires a WGSL language feature.
  Prelude& require(std::string_view feature);
  // Enables a WGSL extension.
  Prelude& enable(std::string_view extension);

  std::string text() const { return enables_ + text_; }

 private:
  Prelude& declare_once(std::string_view text);
  Prelude& add(std::string_view name, const std::string& value);
  bool has_dots_ = false;
  std::string enables_, text_;  // WGSL demands extensions before anything else
};

}  // namespace kexa
