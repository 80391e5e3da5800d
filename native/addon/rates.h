#pragma once

#include <napi.h>

namespace kexa {

// rates(options): measures a device's rates, on its own thread. Rejects with an Error that has a `code`.
Napi::Value measure_rates(const Napi::CallbackInfo& info);

}  // namespace kexa
