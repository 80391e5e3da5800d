// The functions quantize() and lockFile() for JavaScript.
#pragma once

#include <napi.h>

namespace kexa {

// quantize({ from, fromType, to, toType, first, threads }): converts the values of one Uint8Array into another as
// `toType`, on its own threads. `first` is the place of the first value in its tensor, for errors. Both arrays must
// stay unchanged until the promise settles.
Napi::Value quantize_values(const Napi::CallbackInfo& info);

// lockFile(descriptor): tries to lock the file, without waiting. Returns true if nobody else holds the lock. It is then
// held until the descriptor is closed or the process ends. On a file system without locks everybody gets it.
Napi::Value lock_file(const Napi::CallbackInfo& info);

}  // namespace kexa
