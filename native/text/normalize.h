// Unicode normalisation, by the version of Unicode that models' tokenizers were trained with: a later one, such as
// Node's, would compose and reorder characters that the model has only seen as they were.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/watch.h"

namespace kexa {

enum class NormalForm { kNone, kNfc, kNfkc };

// The UTF-8 `text` in its normal form. If that is `text` itself, `buffer` stays as it is and `text` is returned.
// Otherwise the result lies in `buffer`. Each of `marks`, ascending places in `text`, becomes the place in the result
// where the sequence of characters begins that the mark lies in or before.
std::string_view normalize(std::string_view text, NormalForm form, std::string& buffer, std::span<uint32_t> marks,
                           Watch& watch);

}  // namespace kexa
