#include "addon/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kexa {

Type to_type(const std::string& name) {
  if (const std::optional<Type> type = type_named(name)) return *type;
  throw Error("KEXA_INTERNAL", "no type is called " + name);
}

namespace {

constexpr double kMostCount = 9007199254740992;  // 2^53

double in_range(const Napi::Value& from, const char* name, double least, double most) {
  const double value = from.ToNumber().DoubleValue();
  if (value >= least && value <= most) return value;  // not if it is NaN
  throw Error("KEXA_INVALID_ARGUMENT", std::string(name) + ": wanted a number from " + std::to_string(int64_t(least)) +
                                           " to " + std::to_string(int64_t(most)) + ", found " + std::to_string(value));
}
int64_t whole(const Napi::Value& from, const char* name, double least, double most) {
  const double value = in_range(from, name, least, most);
  if (value == std::floor(value)) return int64_t(value);
  throw Error("KEXA_INVALID_ARGUMENT", std::string(name) + ": wanted a whole number, found " + std::to_string(value));
}

}  // namespace

int to_int(const Napi::Value& from, const char* name) {
  return int(whole(from, name, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
}
int64_t to_count(const Napi::Value& from, const char* name) { return whole(from, name, 0, kMostCount); }
int64_t to_bytes(const Napi::Value& from, const char* name) { return int64_t(in_range(from, name, 0, kMostCount)); }

namespace {

Napi::Value member(const Napi::Object& from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (value.IsUndefined())
    throw Napi::TypeError::New(from.Env(), std::string("kexa's core was given no field '") + name + "'");
  return value;
}
double number(const Napi::Object& from, const char* name) { return member(from, name).ToNumber().DoubleValue(); }
int integer(const Napi::Object& from, const char* name) { return to_int(member(from, name), name); }
int64_t count(const Napi::Object& from, const char* name) { return to_count(member(from, name), name); }
int64_t bytes(const Napi::Object& from, const char* name) { return to_bytes(member(from, name), name); }
bool boolean(const Napi::Object& from, const char* name) { return member(from, name).ToBoolean(); }
std::string text(const Napi::Object& from, const char* name) { return member(from, name).ToString(); }

LayerDescription to_layer(const Napi::Object& from) {
  return {.window = integer(from, "window"),
          .has_rope = boolean(from, "rope"),
          .is_moe = text(from, "ffn") == "moe",
          .ffn_width = integer(from, "ffnWidth"),
          .swiglu_limit = float(number(from, "swigluLimit"))};
}

ScaleEntry to_scales(const Napi::Object& from) {
  return {.name = text(from, "name"),
          .file = integer(from, "file"),
          .offset = count(from, "offset"),
          .type = to_type(text(from, "type")),
          .block_rows = integer(from, "blockRows"),
          .block_columns = integer(from, "blockColumns"),
          .skipped_rows = integer(from, "skippedRows")};
}

TensorEntry to_tensor(const Napi::Object& from) {
  TensorEntry tensor{.name = text(from, "name"),
                     .file = integer(from, "file"),
                     .offset = count(from, "offset"),
                     .bytes = count(from, "bytes"),
                     .type = to_type(text(from, "type")),
                     .held = from.Has("held") ? std::optional(to_type(text(from, "held"))) : std::nullopt,
                     .shape = {},
                     .scales = {}};
  if (from.Has("scales")) tensor.scales = to_scales(from.Get("scales").As<Napi::Object>());
  const auto shape = member(from, "shape").As<Napi::Array>();
  for (uint32_t i = 0; i < shape.Length(); ++i) tensor.shape.push_back(to_count(shape.Get(i), "shape"));
  return tensor;
}

template <typename Value>
Napi::Float32Array float_array(Napi::Env env, const Value& values) {
  auto array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Object of_kind(Napi::Env env, const char* kind) {
  auto object = Napi::Object::New(env);
  object.Set("kind", kind);
  return object;
}

Napi::Value from_profile(Napi::Env env, const Profile& profile) {
  auto object = Napi::Object::New(env);
  object.Set("dispatches", double(profile.dispatches));
  object.Set("passes", double(profile.passes));
  object.Set("submits", double(profile.submits));
  object.Set("bufferBytes", double(profile.buffer_bytes));
  auto ops = Napi::Array::New(env, profile.ops.size());
  for (uint32_t i = 0; i < profile.ops.size(); ++i) {
    auto op = Napi::Object::New(env);
    op.Set("name", profile.ops[i].name);
    op.Set("dispatches", double(profile.ops[i].dispatches));
    op.Set("nanoseconds", double(profile.ops[i].nanoseconds));
    ops.Set(i, op);
  }
  object.Set("ops", ops);
  return object;
}

Napi::Value from_traffic(Napi::Env env, const ExpertTraffic& traffic) {
  auto object = Napi::Object::New(env);
  object.Set("hits", double(traffic.hits));
  object.Set("misses", double(traffic.misses));
  object.Set("computed", double(traffic.computed));
  object.Set("copies", double(traffic.copies));
  object.Set("copiedBytes", double(traffic.copied_bytes));
  return object;
}

Napi::Value from_counts(Napi::Env env, const StepCounts& counts) {
  auto object = Napi::Object::New(env);
  object.Set("steps", double(counts.steps));
  object.Set("rows", double(counts.rows));
  object.Set("experts", double(counts.experts));
  object.Set("mtpPasses", double(counts.mtp_passes));
  object.Set("draftHeads", double(counts.draft_heads));
  object.Set("gpu", counts.profile ? from_profile(env, *counts.profile) : env.Null());
  return object;
}

struct EventToObject {
  Napi::Env env;

  Napi::Object operator()(const event::Progress& progress) const {
    auto object = of_kind(env, "progress");
    object.Set("doneBytes", double(progress.done_bytes));
    object.Set("totalBytes", double(progress.total_bytes));
    return object;
  }
  Napi::Object operator()(const event::Started& started) const {
    auto object = of_kind(env, "started");
    object.Set("cachedTokens", started.cached_tokens);
    return object;
  }
  Napi::Object operator()(const event::Prompt& prompt) const {
    auto object = of_kind(env, "prompt");
    object.Set("done", prompt.done);
    object.Set("total", prompt.total);
    return object;
  }
  Napi::Value milliseconds(const std::optional<int64_t>& nanoseconds) const {
    return nanoseconds ? Napi::Value(Napi::Number::New(env, double(*nanoseconds) / 1e6)) : env.Null();
  }
  Napi::Object operator()(const event::Tokens& tokens) const {
    auto object = of_kind(env, "tokens");
    auto ids = Napi::Uint32Array::New(env, tokens.choices.size());
    auto logprobs = Napi::Float32Array::New(env, tokens.choices.size());
    auto tops = Napi::Array::New(env, tokens.choices.size());
    for (size_t i = 0; i < tokens.choices.size(); ++i) {
      const Choice& choice = tokens.choices[i];
      ids[i] = uint32_t(choice.token);
      logprobs[i] = choice.logprob;
      auto top = Napi::Array::New(env, choice.top.size());
      for (uint32_t k = 0; k < choice.top.size(); ++k) {
        auto alternative = Napi::Object::New(env);
        alternative.Set("id", choice.top[k].first);
        alternative.Set("logprob", choice.top[k].second);
        top.Set(k, alternative);
      }
      tops.Set(uint32_t(i), top);
    }
    object.Set("ids", ids);
    object.Set("logprobs", logprobs);
    object.Set("tops", tops);
    auto drafts = Napi::Uint32Array::New(env, tokens.drafts.size() * 2);
    for (size_t i = 0; i < tokens.drafts.size(); ++i) {
      drafts[i * 2] = uint32_t(tokens.drafts[i].drafted);
      drafts[i * 2 + 1] = uint32_t(tokens.drafts[i].accepted);
    }
    object.Set("drafts", drafts);
    object.Set("savedMs", milliseconds(tokens.saved_ns));
    return object;
  }
  Napi::Object operator()(const event::Forwarded& forwarded) const {
    auto object = of_kind(env, "forwarded");
    object.Set("logits", float_array(env, forwarded.logits));
    object.Set("mtpLogits", float_array(env, forwarded.mtp_logits));
    object.Set("hidden", float_array(env, forwarded.hidden));
    auto layers = Napi::Array::New(env);
    for (uint32_t i = 0; i < forwarded.layers.size(); ++i) layers.Set(i, float_array(env, forwarded.layers[i]));
    object.Set("layers", layers);
    auto routes = Napi::Array::New(env);
    for (uint32_t i = 0; i < forwarded.routes.size(); ++i) {
      const event::Route& route = forwarded.routes[i];
      auto entry = Napi::Object::New(env);
      auto experts = Napi::Uint32Array::New(env, route.experts.size());
      std::copy(route.experts.begin(), route.experts.end(), experts.Data());
      entry.Set("layer", route.layer);
      entry.Set("experts", experts);
      entry.Set("weights", float_array(env, route.weights));
      routes.Set(i, entry);
    }
    object.Set("routes", routes);
    object.Set("profile", forwarded.profile ? from_profile(env, *forwarded.profile) : env.Null());
    return object;
  }
  Napi::Object operator()(const event::Scored& scored) const {
    auto object = of_kind(env, "scored");
    object.Set("logprobs", float_array(env, scored.logprobs));
    return object;
  }
  Napi::Object operator()(const event::Measured& measured) const {
    auto object = of_kind(env, "measured");
    const auto milliseconds = [&](const char* name, const std::vector<double>& from) {
      auto array = Napi::Array::New(env, from.size());
      for (uint32_t i = 0; i < from.size(); ++i) array.Set(i, from[i] / 1e6);
      object.Set(name, array);
    };
    milliseconds("ms", measured.nanoseconds);
    milliseconds("encodeMs", measured.encode_nanoseconds);
    object.Set("calls", measured.calls);
    object.Set("isDeviceTime", measured.is_device_time);
    object.Set("expertsRead", measured.experts_read);
    object.Set("profile", measured.profile ? from_profile(env, *measured.profile) : env.Null());
    return object;
  }
  Napi::Object operator()(const event::Ended& ended) const {
    auto object = of_kind(env, "ended");
    object.Set("isLength", ended.is_length);
    object.Set("prefillMs", double(ended.prefill_ns) / 1e6);
    object.Set("decodeMs", double(ended.decode_ns) / 1e6);
    object.Set("prefillTokens", ended.prefill_tokens);
    object.Set("savedMs", milliseconds(ended.saved_ns));
    object.Set("encodeMs", milliseconds(ended.encode_ns));
    object.Set("experts", ended.experts ? from_traffic(env, *ended.experts) : env.Null());
    if (!ended.counts) {
      object.Set("profile", env.Null());
      return object;
    }
    auto profile = Napi::Object::New(env);
    profile.Set("prefill", from_counts(env, ended.counts->prefill));
    profile.Set("decode", from_counts(env, ended.counts->decode));
    profile.Set("logits", float_array(env, ended.counts->logits));
    object.Set("profile", profile);
    return object;
  }
  Napi::Object operator()(const event::ExpertHeat& experts) const {
    auto object = of_kind(env, "expertHeat");
    object.Set("heat", float_array(env, experts.heat));
    return object;
  }
  Napi::Object operator()(const event::Kept& kept) const {
    auto object = of_kind(env, "kept");
    object.Set("tokens", kept.tokens);
    return object;
  }
  Napi::Object operator()(const event::Done&) const { return of_kind(env, "done"); }
  Napi::Object operator()(const event::Failed& failed) const {
    auto object = of_kind(env, "failed");
    object.Set("code", failed.code);
    object.Set("message", failed.message);
    return object;
  }
  Napi::Object operator()(const event::Stopped&) const { return of_kind(env, "stopped"); }
};

}  // namespace

ModelDescription to_description(const Napi::Object& from) {
  ModelDescription to;
  to.vocab = integer(from, "vocabSize");
  to.hidden = integer(from, "hiddenSize");
  to.heads = integer(from, "heads");
  to.kv_heads = integer(from, "kvHeads");
  to.head_dim = integer(from, "headDim");
  to.norm_epsilon = float(number(from, "normEpsilon"));
  to.is_post_norm = text(from, "normPlacement") == "post";
  to.rope_theta = number(from, "ropeTheta");
  if (const auto scaling = member(from, "ropeScaling"); !scaling.IsNull()) {
    const auto object = scaling.As<Napi::Object>();
    to.rope_scaling = {.factor = number(object, "factor"),
                       .low_freq_factor = number(object, "lowFreqFactor"),
                       .high_freq_factor = number(object, "highFreqFactor"),
                       .original_max_positions = number(object, "originalMaxPositions")};
  }
  if (const auto factors = member(from, "ropeFactors"); !factors.IsNull()) {
    const auto list = factors.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) to.rope_factors.push_back(list.Get(i).ToNumber());
  }
  if (const auto moe = member(from, "moe"); !moe.IsNull()) {
    const auto object = moe.As<Napi::Object>();
    to.moe = {.experts = integer(object, "experts"),
              .top_k = integer(object, "topK"),
              .groups = integer(object, "groups"),
              .kept_groups = integer(object, "keptGroups"),
              .shared_experts = integer(object, "sharedExperts"),
              .is_normalized = boolean(object, "normalize"),
              .scale = float(number(object, "scale"))};
  }
  const auto layers = member(from, "layers").As<Napi::Array>();
  for (uint32_t i = 0; i < layers.Length(); ++i) to.layers.push_back(to_layer(layers.Get(i).As<Napi::Object>()));
  if (const auto mtp = member(from, "mtp"); !mtp.IsNull()) to.mtp = to_layer(mtp.As<Napi::Object>());
  to.has_tied_head = boolean(from, "tiedHead");
  to.max_positions = integer(from, "maxPositions");
  const auto files = member(from, "files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); ++i) to.files.push_back(files.Get(i).ToString());
  const auto tensors = member(from, "tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    Napi::HandleScope scope(from.Env());  // the real model has eighteen thousand
    to.tensors.push_back(to_tensor(tensors.Get(i).As<Napi::Object>()));
  }
  return to;
}

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
          .prefill_chunk = integer(from, "prefillChunk"),
          .threads = integer(from, "threads"),
          .cache_type = to_type(text(from, "cacheType")),
          .is_rounding = text(from, "activations") == "i16",
          // Less than nothing is what the plan chooses.
          .prefix_cache_bytes = number(from, "prefixCacheBytes") < 0 ? -1 : bytes(from, "prefixCacheBytes"),
          .keeps_turns_only = boolean(from, "keepsTurnsOnly"),
          .weight_type = weights == "auto" ? std::optional<Type>() : to_type(weights),
          .adapter = text(from, "adapter"),
          .dawn_library = text(from, "dawnLibrary"),
          .dawn_identity = text(from, "dawnIdentity"),
          .blob_folder = text(from, "blobFolder"),
          .is_checked = boolean(from, "isChecked"),
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
  sampling.temperature = float(number(from, "temperature"));
  sampling.top_k = integer(from, "topK");
  sampling.top_p = float(number(from, "topP"));
  sampling.min_p = float(number(from, "minP"));
  sampling.repeat_penalty = float(number(from, "repeatPenalty"));
  sampling.repeat_last_n = integer(from, "repeatLastN");
  sampling.presence_penalty = float(number(from, "presencePenalty"));
  sampling.frequency_penalty = float(number(from, "frequencyPenalty"));
  sampling.seed = uint64_t(count(from, "seed"));
  to.logprobs = integer(from, "logprobs");
  const auto bias_ids = to_ids(member(from, "biasIds"));
  const auto bias_values = member(from, "biasValues").As<Napi::Float32Array>();
  for (size_t i = 0; i < bias_ids.size(); ++i) sampling.logit_bias.emplace_back(bias_ids[i], bias_values[i]);
  to.max_tokens = integer(from, "maxTokens");
  to.wants_profile = boolean(from, "profile");
  to.keep_at = integer(from, "keepAt");
  to.drafts = integer(from, "drafts");
  to.end_tokens = to_ids(member(from, "endTokens"));
  return to;
}

std::vector<int> to_ids(const Napi::Value& from) {
  const auto ids = from.As<Napi::Uint32Array>();
  return {ids.Data(), ids.Data() + ids.ElementLength()};
}

static Napi::Object from_memory(Napi::Env env, const MemoryPlan& memory) {
  auto weights = Napi::Object::New(env);
  weights.Set("total", double(memory.weight_bytes));
  weights.Set("mapped", double(memory.mapped_weight_bytes));
  auto cache = Napi::Object::New(env);
  cache.Set("total", double(memory.cache_bytes()));
  cache.Set("global", double(memory.global_cache_bytes));
  cache.Set("sliding", double(memory.sliding_cache_bytes));
  cache.Set("mtp", double(memory.mtp_cache_bytes));
  cache.Set("bytesPerToken", double(memory.cache_bytes_per_token));
  auto object = Napi::Object::New(env);
  object.Set("weights", weights);
  object.Set("cache", cache);
  object.Set("scratch", double(memory.scratch_bytes));
  object.Set("prefixCache", double(memory.prefix_cache_bytes));
  object.Set("growth", env.Null());
  if (memory.cache_at_load_bytes) {
    auto growth = Napi::Object::New(env);
    growth.Set("atLoad", double(memory.cache_at_load_bytes));
    growth.Set("outgrown", double(memory.growth_bytes));
    object.Set("growth", growth);
  }
  object.Set("total", double(memory.total_bytes()));
  return object;
}

Napi::Object from_plan(Napi::Env env, const Plan& plan) {
  auto object = from_memory(env, plan.memory);
  auto parts = Napi::Array::New(env, plan.parts.size());
  for (uint32_t i = 0; i < plan.parts.size(); ++i) {
    const PartPlan& from = plan.parts[i];
    auto part = from_memory(env, from.memory);
    part.Set("firstLayer", from.first_layer);
    part.Set("layers", from.layers);
    parts.Set(i, part);
  }
  object.Set("parts", parts);
  object.Set("experts", env.Null());
  if (!plan.options.has_expert_slots()) return object;
  auto experts = Napi::Object::New(env);
  experts.Set("slots", plan.options.expert_slots);
  experts.Set("slotBytes", double(plan.memory.expert_slot_bytes));
  experts.Set("host", double(plan.memory.host_expert_bytes));
  experts.Set("mapped", double(plan.memory.mapped_expert_bytes));
  object.Set("experts", experts);
  return object;
}

Napi::Object from_event(Napi::Env env, const Event& event) { return std::visit(EventToObject{env}, event); }

}  // namespace kexa
