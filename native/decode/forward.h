// The model as a sequence of ops.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "device/device.h"

namespace kexa {

// Calls between the ops, through which a caller watches the pass.
struct ForwardHooks {
  std::function<bool()> is_wanted{};             // asked between layers; if it returns false, Cancelled is thrown
  std::function<void(int layer)> after_layer{};  // the residual stream, and after a MoE layer its routes, can be read
  std::function<void(int layer)> after_route{};
  std::atomic<uint64_t>* layers_done = nullptr;  // counts the layers that were run
};

// Runs the step through the model. Afterwards device.logits() has its logit rows, device.hidden() every row's final
// normed state, and the cache has the rows' keys and values.
void forward(Device& device, const ModelDescription& description, const Step& step, const KvSlots& slots,
             const ForwardHooks& hooks = {});

// Runs the MTP block on the step just run. Each row gets its own hidden state and the token that follows it, and
// predicts the token after that. Afterwards device.hidden() and, if wanted, device.logits() are the block's.
void forward_mtp(Device& device, const ModelDescription& description, bool wants_logits,
                 const ForwardHooks& hooks = {});

}  // namespace kexa
