#include "decode/forward.h"

#include "base/error.h"

namespace kexa {
namespace {

void run_layer(Device& device, const ModelDescription& description, int layer, const ForwardHooks& hooks) {
  if (hooks.is_wanted && !hooks.is_wanted()) throw Cancelled{};
  device.attention_input(layer);
  device.attention(layer);
  device.attention_output(layer);
  if (description.layer(layer).is_moe()) {
    device.route(layer);
    if (hooks.after_route) hooks.after_route(layer);
    device.experts(layer);
  } else {
    device.dense_ffn(layer);
  }
  if (hooks.after_layer) hooks.after_layer(layer);
  if (hooks.layers_done) hooks.layers_done->fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

void forward(Device& device, const ModelDescription& description, const Step& step, const KvSlots& slots,
             const ForwardHooks& hooks) {
  device.begin(step, slots);
  device.embed();
  for (int layer = 0; layer < int(description.layers.size()); ++layer) run_layer(device, description, layer, hooks);
  device.final_norm(false);
  device.head();
}

void forward_mtp(Device& device, const ModelDescription& description, bool wants_logits, const ForwardHooks& hooks) {
  device.draft_input();
  run_layer(device, description, description.mtp_layer(), hooks);
  device.final_norm(true);
  if (wants_logits) device.head();
}

}  // namespace kexa
