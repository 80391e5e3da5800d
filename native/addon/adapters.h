// Lists the GPUs of this machine for JavaScript.
#pragma once

#include <napi.h>

namespace kexa {

// adapters(dawnLibrary, vulkanLibrary): a promise of AdapterFacts objects, the best adapter first. Rejects if Dawn
// cannot be loaded.
Napi::Value list_adapters(const Napi::CallbackInfo& info);

// vulkanProblem(vulkanLibrary): opens the Vulkan loader, and says why it cannot be used. Empty: it can be.
Napi::Value vulkan_problem(const Napi::CallbackInfo& info);

}  // namespace kexa
