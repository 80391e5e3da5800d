#pragma once

#include <napi.h>

namespace kexa {

// rates(options): a device's own rates, on a thread of its own. Rejects with an Error that has a `code`.
Napi::Value measure_rates(const Napi::CallbackInfo& info);

}  // namespace kexa
