// quantize(), as JavaScript calls it.
#pragma once

#include <napi.h>

namespace kexa {

// quantize({ from, fromType, to, toType, first, threads }): writes the values of one Uint8Array to another as `toType`,
// on threads of its own. `first`: the place of the first value in its tensor, for errors. Both arrays must be left
// alone until the promise settles.
Napi::Value quantize_values(const Napi::CallbackInfo& info);

}  // namespace kexa
