// The ops of Device by name. lib/device/ops.ts has the same list; a test compares them.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "device/device.h"

namespace kexa {

// Which of an op's kernels are written in two ways, with subgroups and without, so that tuning may choose. All small
// steps share one way, because a row's bits must not depend on the rows beside it.
enum class Tuned : uint8_t { kNone, kSmall, kSmallAndLarge };

struct NamedOp {
  std::string_view name;
  Tuned tuned;
  // Calls the op on `layer`, which ops without a layer ignore.
  void (*call)(Device& device, int layer);
};

// In the order in which a step calls them. `draft_input` is part of the MTP block's steps alone.
constexpr NamedOp kOps[] = {
    {"embed", Tuned::kNone, [](Device& device, int) { device.embed(); }},
    {"attention_input", Tuned::kSmallAndLarge, [](Device& device, int layer) { device.attention_input(layer); }},
    {"attention", Tuned::kSmallAndLarge, [](Device& device, int layer) { device.attention(layer); }},
    {"attention_output", Tuned::kSmall, [](Device& device, int layer) { device.attention_output(layer); }},
    {"dense_ffn", Tuned::kSmall, [](Device& device, int layer) { device.dense_ffn(layer); }},
    {"route", Tuned::kSmallAndLarge, [](Device& device, int layer) { device.route(layer); }},
    {"experts", Tuned::kSmall, [](Device& device, int layer) { device.experts(layer); }},
    {"final_norm", Tuned::kSmall, [](Device& device, int) { device.final_norm(false); }},
    {"head", Tuned::kSmall, [](Device& device, int) { device.head(); }},
    {"choose", Tuned::kNone, [](Device& device, int) { device.choose(); }},
    {"draft_input", Tuned::kSmall, [](Device& device, int) { device.draft_input(); }},
};

// Throws KEXA_INTERNAL if there is no op of that name.
inline const NamedOp& op_named(std::string_view name) {
  for (const NamedOp& op : kOps)
    if (op.name == name) return op;
  throw Error("KEXA_INTERNAL", "there is no op " + std::string(name));
}

// Behind an op's name: its kernels for large steps, where tuning chooses them apart.
constexpr std::string_view kLargeSuffix = " large";

}  // namespace kexa
