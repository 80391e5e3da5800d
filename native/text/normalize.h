// Unicode normalisation by the version of Unicode that the models' tokenizers were trained with. A later version, such
// as Node's, would compose and reorder characters that the model has only seen unchanged.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/watch.h"

namespace kexa {

enum class NormalForm { kNone, kNfc, kNfkc };

// Returns the UTF-8 `text` in its normal form. If that is `text` itself, returns `text` and leaves `buffer` alone;
// otherwise the result lies in `buffer`. `marks` are ascending places in `text`. Each becomes a place in the result:
// the beginning of the sequence of characters that holds the mark, or follows it.
std::string_view normalize(std::string_view text, NormalForm form, std::string& buffer, std::span<uint32_t> marks,
                           Watch& watch);

}  // namespace kexa
