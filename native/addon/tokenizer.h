// The Tokenizer class, as JavaScript calls it: a vocabulary and its encoder.
#pragma once

#include <napi.h>

namespace kexa {

// new Tokenizer(source) copies what it is given; load() builds the vocabulary on the pool, once; then encode() and
// start(). lib/native.ts declares them.
Napi::Function define_tokenizer(Napi::Env env);

}  // namespace kexa
