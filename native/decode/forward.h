// The model, as a sequence of ops.
#pragma once

#include <atomic>
#include <functional>

#include "device/device.h"

namespace kexa {

// What a caller may look at on the way.
struct ForwardHooks {
  const std::atomic<bool>* cancelled = nullptr;  // looked at between layers; if set, Cancelled is thrown
  std::function<void(int layer)> after_layer;    // the residual stream, and after a MoE layer its routes, can be read
  std::function<void(int layer)> after_route;
};

// Runs the step through the model: afterwards device.logits() holds its logit rows, device.hidden() every row's final
// normed state, and the cache the rows' keys and values.
void forward(Device& device, const ModelDescription& description, const Step& step, const KvSlots& slots,
             const ForwardHooks& hooks = {});

// Runs the MTP block on the step just run: each row is given its own hidden state and the token that follows it, and
// predicts the one after that. Afterwards device.logits(), if wanted, and device.hidden() are the block's.
void forward_mtp(Device& device, const ModelDescription& description, bool wants_logits,
                 const ForwardHooks& hooks = {});

}  // namespace kexa
