// Lists the GPUs of this machine for JavaScript.
#pragma once

#include <napi.h>

namespace kexa {

// adapters(dawnLibrary): a promise of AdapterFacts objects, the best adapter first. Rejects if Dawn cannot be loaded.
Napi::Value list_adapters(const Napi::CallbackInfo& info);

// vulkanProblem(): the reason why there can be no GPU here, else an empty text. Quick.
Napi::Value vulkan_problem(const Napi::CallbackInfo& info);

}  // namespace kexa
