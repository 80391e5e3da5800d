// quantize() and lockFile(), as JavaScript calls them.
#pragma once

#include <napi.h>

namespace kexa {

// quantize({ from, fromType, to, toType, first, threads }): writes the values of one Uint8Array to another as `toType`,
// on threads of its own. `first`: the place of the first value in its tensor, for errors. Both arrays must be left
// alone until the promise settles.
Napi::Value quantize_values(const Napi::CallbackInfo& info);

// lockFile(descriptor): whether nobody else held the file's lock, which is then held until the descriptor is closed or
// the process ends. A file system without locks gives it to everybody. Does not wait.
Napi::Value lock_file(const Napi::CallbackInfo& info);

}  // namespace kexa
