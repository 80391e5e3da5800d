// The Tokenizer class for JavaScript: a vocabulary and its encoder.
#pragma once

#include <napi.h>

namespace kexa {

// new Tokenizer(source) copies the source. load() then builds the vocabulary once, on the pool. After that encode() and
// start() can be called. lib/native.ts declares them.
Napi::Function define_tokenizer(Napi::Env env);

}  // namespace kexa
