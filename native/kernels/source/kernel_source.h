// The WGSL files of this folder, and the constants a kernel is compiled with.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/numbers.h"
#include "plan/layout.h"

namespace kexa {

// The text of NAME.wgsl, put into the program by CMake.
std::string_view kernel_source(std::string_view name);

// Of a buffer NAME in parts: NAME, NAME_1 and so on.
std::string part_name(std::string_view name, int part);

// A name as constants spell it.
std::string in_capitals(std::string_view name);

// `text` with other words in places of some.
std::string replaced(std::string_view text, std::initializer_list<std::pair<std::string_view, std::string>> by);

// What the host writes before a kernel's text: constants, and how weights and cache rows are stored.
class Prelude {
 public:
  Prelude& set(std::string_view name, uint32_t value) { return add(name, std::to_string(value) + "u"); }
  Prelude& set(std::string_view name, int value) { return set(name, uint32_t(value)); }
  Prelude& set(std::string_view name, bool value) { return add(name, value ? "true" : "false"); }
  Prelude& set(std::string_view name, float value);

  // CHUNK_WORDS, low() and high(): the two halves of eight stored weights; add_product(), which sums their products.
  Prelude& weights(Type type);
  // The same for a kernel that reads several types: low() and high() are KINDlow() and KINDhigh(), and CHUNK_WORDS is
  // left to it.
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
  // cache_word(): the i-th word of a head as the cache holds it, of the values that the kernel's element() gives.
  Prelude& cache_word(const KvLayout& kv);
  // CacheWord, and for the buffers `keys` and `values` of them keys_chunk() and values_chunk(): the two halves of eight
  // elements of the head that begins at word `head`.
  Prelude& cache_chunks(const KvLayout& kv);

  // A buffer NAME that is split by expert: the bindings of its further parts (NAME_1, NAME_2, ...; the kernel itself
  // binds the first), and for an expert part_of(), the part that holds it, and place_in_part().
  Prelude& split(std::string_view name, int parts, int experts_per_part, int first_binding);
  // A function whose `part`, a parameter or variable, says which part its body means by BUFFER: bindings cannot be
  // indexed, so there is a branch for each. With one part there is none.
  Prelude& over_parts(std::string_view name, int parts, std::string_view signature, std::string_view body);

  // The text of NAME.wgsl: functions that kernels share. Its constants are set before.
  Prelude& include(std::string_view name);
  // The same for what a kernel has several of: `as` in place of @NAME, and in capitals in place of @UPPER.
  Prelude& include(std::string_view name, std::string_view as);

  // Any other declaration, with its line's end.
  Prelude& declare(std::string_view text);

  // A type by another name.
  Prelude& alias(std::string_view name, std::string_view type);

  // E, the type of activations between ops, and E4.
  Prelude& elements(bool is_f16);
  // A WGSL extension the kernel needs.
  Prelude& enable(std::string_view extension);

  std::string text() const { return enables_ + text_; }

 private:
  Prelude& declare_once(std::string_view text);
  Prelude& add(std::string_view name, const std::string& value);
  std::string enables_, text_;  // WGSL wants extensions named before all else
};

}  // namespace kexa
