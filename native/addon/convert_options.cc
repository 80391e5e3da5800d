// Converts the options of a model, an answer and a measurement, from lib/native.ts.
#include <type_traits>

#include "addon/convert.h"
#include "addon/fields.h"

namespace kexa {

static GpuKernels to_gpu_kernels(const std::string& name) {
  if (name == "auto") return GpuKernels::kAuto;
  if (name == "plain") return GpuKernels::kPlain;
  if (name == "subgroups") return GpuKernels::kSubgroups;
  if (name == "matrices") return GpuKernels::kMatrices;
  throw Error("KEXA_INTERNAL", "no kernels are called " + name);
}

static std::vector<std::string> to_texts(const Napi::Value& from) {
  std::vector<std::string> texts;
  const auto array = from.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) texts.push_back(array.Get(i).ToString());
  return texts;
}

ExpertMisses to_expert_misses(const std::string& name) {
  if (name == "auto") return ExpertMisses::kAuto;
  if (name == "copy") return ExpertMisses::kCopy;
  if (name == "compute") return ExpertMisses::kCompute;
  throw Error("KEXA_INTERNAL", "no way with missing experts is called " + name);
}

static std::vector<float> to_floats(const Napi::Value& from) {
  const auto array = from.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

static std::vector<PartOptions> to_parts(const Napi::Value& from) {
  std::vector<PartOptions> parts;
  const auto array = from.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto part = array.Get(i).As<Napi::Object>();
    parts.push_back({.adapter = text(part, "adapter"),
                     .plain_ops = to_texts(member(part, "plainOps")),
                     .layers = integer(part, "layers"),
                     .memory_bytes = bytes(part, "memoryBytes")});
  }
  return parts;
}

PlanOptions to_plan_options(const Napi::Object& from) {
  const std::string weights = text(from, "weights");
  return {.context_size = integer(from, "contextSize"),
          .slots = integer(from, "slots"),
          .cache_tokens = integer(from, "cacheTokens"),
          .prefill_chunk = integer(from, "prefillChunk"),
          .most_step_ms = number(from, "maxStepMs"),
          .park_bytes = bytes(from, "parkBytes"),
          .threads = integer(from, "threads"),
          .pins_threads = boolean(from, "pinsThreads"),
          .cache_type = to_type(text(from, "cacheType")),
          .is_rounding = text(from, "activations") == "i16",
          // A negative number leaves the choice to the plan.
          .prefix_cache_bytes = number(from, "prefixCacheBytes") < 0 ? -1 : bytes(from, "prefixCacheBytes"),
          .keeps_turns_only = boolean(from, "keepsTurnsOnly"),
          .weight_type = weights == "auto" ? std::optional<Type>() : to_type(weights),
          .adapter = text(from, "adapter"),
          .dawn_library = text(from, "dawnLibrary"),
          .vulkan_library = text(from, "vulkanLibrary"),
          .dawn_identity = text(from, "dawnIdentity"),
          .blob_folder = text(from, "blobFolder"),
          .keeps_device = boolean(from, "keepsDevice"),
          .is_checked = boolean(from, "isChecked"),
          .gpu_buffer_bytes = bytes(from, "gpuBufferBytes"),
          .gpu_kernels = to_gpu_kernels(text(from, "gpuKernels")),
          .gpu_elements = to_type(text(from, "gpuElements")),
          .plain_ops = to_texts(member(from, "plainOps")),
          .expert_slots = integer(from, "expertSlots"),
          .expert_misses = to_expert_misses(text(from, "expertMisses")),
          .expert_heat = to_floats(member(from, "expertHeat")),
          .parts = to_parts(member(from, "parts")),
          .cache_start_rows = integer(from, "cacheStartRows")};
}

MeasureParams to_measure_params(const Napi::Object& from) {
  MeasureParams to{.depth = integer(from, "depth"), .ops = {}};
  const auto ops = member(from, "ops").As<Napi::Array>();
  for (uint32_t i = 0; i < ops.Length(); ++i) {
    const auto op = ops.Get(i).As<Napi::Object>();
    to.ops.push_back({.op = text(op, "op"),
                      .layers = to_ids(member(op, "layers")),
                      .rows = integer(op, "rows"),
                      .repetitions = integer(op, "repetitions"),
                      .least_ns = int64_t(in_range(member(op, "leastMs"), "leastMs", 0, 1e9) * 1e6)});
  }
  return to;
}

ForwardParams to_forward_params(const Napi::Object& from) {
  return {.wants_all_logits = boolean(from, "allLogits"),
          .wants_mtp = boolean(from, "mtp"),
          .wants_trace = boolean(from, "trace"),
          .wants_profile = boolean(from, "profile"),
          .lead_rows = integer(from, "leadRows"),
          .step_rows = integer(from, "stepRows")};
}

GenerateParams to_generate_params(const Napi::Object& from) {
  GenerateParams to;
  SamplingParams& sampling = to.sampling;
  const auto read = [&from](const char* name, auto& field) {
    if constexpr (std::is_integral_v<std::remove_reference_t<decltype(field)>>)
      field = integer(from, name);
    else
      field = float(number(from, name));
  };
  visit_numbers(sampling, read);
  sampling.seed = uint64_t(count(from, "seed"));
  to.logprobs = integer(from, "logprobs");
  const auto bias_ids = to_ids(member(from, "biasIds"));
  const auto bias_values = member(from, "biasValues").As<Napi::Float32Array>();
  for (size_t i = 0; i < bias_ids.size(); ++i) sampling.logit_bias.emplace_back(bias_ids[i], bias_values[i]);
  to.max_tokens = integer(from, "maxTokens");
  to.wants_profile = boolean(from, "profile");
  to.keep_at = integer(from, "keepAt");
  to.priority = integer(from, "priority");
  to.grammar = integer(from, "grammar");
  to.forces_tokens = boolean(from, "forcesTokens");
  to.group = uint64_t(count(from, "group"));
  to.group_size = integer(from, "groupSize");
  to.drafts = integer(from, "drafts");
  to.end_tokens = to_ids(member(from, "endTokens"));
  sampling.min_tokens = integer(from, "minTokens");
  if (sampling.min_tokens > 0) sampling.end_tokens = to.end_tokens;
  return to;
}

std::vector<int> to_ids(const Napi::Value& from) {
  const auto ids = from.As<Napi::Uint32Array>();
  return {ids.Data(), ids.Data() + ids.ElementLength()};
}

}  // namespace kexa
