// Cuts text into pieces; merges never cross their borders. Each split pattern of EXAONE's tokenizers is a scanner that
// never goes back. A regular expression would need time that grows with the square of a run of spaces.
#pragma once

#include <cstdint>

#include "text/watch.h"

namespace kexa {

enum class SplitPattern {
  kNone,
  // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kGpt2,
  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?
  // |\s*[\r\n]|\s+(?!\S)|\s+
  kExaoneMoe,
  // Each \p{N} by itself, and kGpt2 in the stretches between them.
  kExaone,
};

// The end of the piece that begins at `at`. The text is UTF-8 and ends at `end`, past `at`. `\s` is Unicode's
// White_Space.
const uint8_t* piece_end(SplitPattern pattern, const uint8_t* at, const uint8_t* end, Watch& watch);

}  // namespace kexa
