// The addon for tests of the core: the classes Probe and StepProbe, and functions for single parts. It is not in the
// package.
#include <napi.h>

#include "addon/convert.h"
#include "base/error.h"
#include "cache/expert_slots.h"
#include "checks/device_probe.h"
#include "checks/plain_sampler.h"
#include "checks/plan_checks.h"
#include "checks/step_probe.h"
#include "cpu/matmul.h"
#include "cpu/sampler.h"
#include "model/synthetic.h"
#include "quant/dequantize.h"
#include "quant/quantize.h"

namespace kexa {
namespace {

OpRequest to_request(const Napi::Object& from) {
  const auto integer = [&](const char* name) { return from.Get(name).ToNumber().Int32Value(); };
  OpRequest to{.op = from.Get("op").ToString(),
               .layer = integer("layer"),
               .is_mtp = from.Get("isMtp").ToBoolean(),
               .step = {},
               .next_tokens = to_ids(from.Get("nextTokens")),
               .hidden_row = integer("hiddenRow"),
               .experts = to_ids(from.Get("experts")),
               .seed = from.Get("seed").ToNumber()};
  const std::vector<int> rows = to_ids(from.Get("rows"));
  for (size_t i = 0; i + 2 < rows.size(); i += 3) to.step.rows.push_back({rows[i], rows[i + 1], rows[i + 2]});
  to.step.is_prompt = from.Get("isPrompt").ToBoolean();
  to.step.logit_rows = to_ids(from.Get("logitRows"));
  return to;
}

Napi::Float32Array to_array(Napi::Env env, const std::vector<float>& values) {
  auto array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

// Calls ExpertSlots::place() on layer 0 for each of `steps` ({ experts, isWholeRow }). Returns its results, and the
// content of the slots after each.
Napi::Value place_experts(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto from = info[0].As<Napi::Object>();
  const auto integer = [&](const char* name) { return from.Get(name).ToNumber().Int32Value(); };
  const auto heat = from.Get("heat").As<Napi::Float32Array>();
  ExpertSlots slots(1, integer("experts"), integer("slots"), integer("topK"),
                    to_expert_misses(from.Get("misses").ToString()), {heat.Data(), heat.ElementLength()});
  const auto costs = from.Get("costs").As<Napi::Object>();
  slots.set_costs({.copy = costs.Get("copy").ToNumber(),
                   .compute = costs.Get("compute").ToNumber(),
                   .compute_more = costs.Get("computeMore").ToNumber()});
  const auto steps = from.Get("steps").As<Napi::Array>();
  const auto list = [&](const auto& values) {
    auto array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, double(values[i]));
    return array;
  };
  auto placed = Napi::Array::New(env, steps.Length());
  for (uint32_t i = 0; i < steps.Length(); ++i) {
    const auto wanted = steps.Get(i).As<Napi::Object>();
    const ExpertSlots::Step step = slots.place(0, to_ids(wanted.Get("experts")), wanted.Get("isWholeRow").ToBoolean());
    auto waves = Napi::Array::New(env, step.waves.size());
    for (uint32_t w = 0; w < step.waves.size(); ++w) {
      auto loads = Napi::Array::New(env, step.waves[w].loads.size());
      for (uint32_t k = 0; k < step.waves[w].loads.size(); ++k)
        loads.Set(k, list(std::vector{step.waves[w].loads[k].slot, step.waves[w].loads[k].expert}));
      auto wave = Napi::Object::New(env);
      wave.Set("loads", loads);
      wave.Set("slots", list(step.waves[w].slots));
      waves.Set(w, wave);
    }
    std::vector<int> in_slot;
    for (int slot = 0; slot < slots.slots(); ++slot) in_slot.push_back(slots.in_slot(0, slot));
    auto to = Napi::Object::New(env);
    to.Set("waves", waves);
    to.Set("onHost", list(step.on_host));
    to.Set("traffic",
           list(std::vector{step.traffic.hits, step.traffic.misses, step.traffic.computed, step.traffic.copies}));
    to.Set("inSlot", list(in_slot));
    placed.Set(i, to);
  }
  return placed;
}

class ProbeObject : public Napi::ObjectWrap<ProbeObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Probe",
        {InstanceMethod<&ProbeObject::run>("run"), InstanceMethod<&ProbeObject::choose_for_crowd>("chooseForCrowd"),
         InstanceMethod<&ProbeObject::copy_cache>("copyCache"), InstanceMethod<&ProbeObject::close>("close")});
  }

  explicit ProbeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProbeObject>(info) {
    probe_ = or_throw(info.Env(), [&] {
      return std::make_unique<DeviceProbe>(to_description(info[0].As<Napi::Object>()),
                                           to_plan_options(info[1].As<Napi::Object>()));
    });
  }

 private:
  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto results = or_throw(env, [&] { return probe_->run(to_request(info[0].As<Napi::Object>())); });
    auto list = Napi::Array::New(env, results.size());
    for (uint32_t i = 0; i < results.size(); ++i) {
      auto object = Napi::Object::New(env);
      object.Set("name", results[i].name);
      object.Set("columns", results[i].columns);
      object.Set("isExact", results[i].is_exact);
      object.Set("cpu", to_array(env, results[i].cpu));
      object.Set("gpu", to_array(env, results[i].gpu));
      list.Set(i, object);
    }
    return list;
  }
  // copyCache(layer, seed): an object with the fields of CacheCopyResult.
  Napi::Value copy_cache(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const CacheCopyResult result =
        or_throw(env, [&] { return probe_->copy_cache(info[0].ToNumber(), info[1].ToNumber().Uint32Value()); });
    auto object = Napi::Object::New(env);
    object.Set("wrongBytes", result.wrong_bytes);
    object.Set("waits", result.waits);
    return object;
  }
  // chooseForCrowd(seed, groupCounts): an object with the fields of CrowdResult.
  Napi::Value choose_for_crowd(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const CrowdResult result =
        or_throw(env, [&] { return probe_->choose_for_crowd(info[0].ToNumber().Uint32Value(), to_ids(info[1])); });
    auto object = Napi::Object::New(env);
    auto differences = Napi::Array::New(env, result.differences.size());
    for (uint32_t i = 0; i < result.differences.size(); ++i) differences.Set(i, result.differences[i]);
    object.Set("differences", differences);
    const std::pair<const char*, int> counts[] = {
        {"steps", result.steps},   {"groups", result.groups},     {"following", result.following},
        {"masked", result.masked}, {"chosen", result.chosen},     {"problems", result.problems},
        {"drafts", result.drafts}, {"accepted", result.accepted}, {"alternatives", result.alternatives},
    };
    for (const auto& [name, count] : counts) object.Set(name, count);
    return object;
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    probe_.reset();
    return info.Env().Undefined();
  }

  std::unique_ptr<DeviceProbe> probe_;
};

class StepProbeObject : public Napi::ObjectWrap<StepProbeObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "StepProbe",
        {InstanceMethod<&StepProbeObject::run>("run"), InstanceMethod<&StepProbeObject::profile>("profile"),
         InstanceMethod<&StepProbeObject::launches>("launches"), InstanceMethod<&StepProbeObject::close>("close")});
  }

  explicit StepProbeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StepProbeObject>(info) {
    probe_ = or_throw(info.Env(), [&] {
      return std::make_unique<StepProbe>(to_description(info[0].As<Napi::Object>()),
                                         to_plan_options(info[1].As<Napi::Object>()), info[2].ToNumber().Int32Value());
    });
  }

 private:
  // Returns the nanoseconds of each step.
  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const StepTimes times = or_throw(env, [&] { return probe_->run(info[0].ToNumber().Int32Value()); });
    auto object = Napi::Object::New(env);
    const auto give = [&](const char* name, const std::vector<int64_t>& from) {
      auto array = Napi::Float64Array::New(env, from.size());
      std::copy(from.begin(), from.end(), array.Data());
      object.Set(name, array);
    };
    give("encode", times.encode);
    give("submit", times.submit);
    give("wait", times.wait);
    return object;
  }
  // launches(rows, isPrompt): the step's dispatches in their order: { kernel, wgsl, workgroups }.
  Napi::Value launches(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto launches =
        or_throw(env, [&] { return probe_->launches(info[0].ToNumber().Int32Value(), info[1].ToBoolean()); });
    auto list = Napi::Array::New(env, launches.size());
    for (uint32_t i = 0; i < launches.size(); ++i) {
      auto object = Napi::Object::New(env);
      object.Set("kernel", launches[i].kernel);
      object.Set("wgsl", std::string(launches[i].wgsl));
      auto workgroups = Napi::Array::New(env, 3);
      for (uint32_t axis = 0; axis < 3; ++axis) workgroups.Set(axis, launches[i].workgroups[axis]);
      object.Set("workgroups", workgroups);
      list.Set(i, object);
    }
    return list;
  }
  // Returns for each kernel its dispatches and, if the GPU has timestamps, its nanoseconds.
  Napi::Value profile(const Napi::CallbackInfo& info) {
    const Profile profile = or_throw(info.Env(), [&] { return probe_->profile(); });
    auto object = Napi::Object::New(info.Env());
    for (const Profile::Op& op : profile.ops) {
      auto work = Napi::Object::New(info.Env());
      work.Set("dispatches", double(op.dispatches));
      work.Set("nanoseconds", double(op.nanoseconds));
      object.Set(op.name, work);
    }
    return object;
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    probe_.reset();
    return info.Env().Undefined();
  }

  std::unique_ptr<StepProbe> probe_;
};

// dequantize(type, bytes, elements): the values of blocks of a GGUF type, a Float32Array.
Napi::Value dequantize_blocks(const Napi::CallbackInfo& info) {
  const std::string name = info[0].ToString();
  const auto blocks = info[1].As<Napi::Uint8Array>();
  const int64_t elements = info[2].ToNumber().Int64Value();
  return or_throw(info.Env(), [&] {
    const std::optional<Type> type = type_named(name);
    if (!type || elements % facts_of(*type).block_elements || int64_t(blocks.ByteLength()) != bytes_of(*type, elements))
      throw Error("KEXA_INTERNAL", "wanted whole blocks of a type of GGUF, found " +
                                       std::to_string(blocks.ByteLength()) + " bytes for " + std::to_string(elements) +
                                       " elements of " + name);
    auto values = Napi::Float32Array::New(info.Env(), size_t(elements));
    dequantize(*type, reinterpret_cast<const std::byte*>(blocks.Data()), elements, values.Data());
    return values;
  });
}

// types(): the core's types: their names, numbers in GGUF files and sizes, and what the core does with them.
Napi::Value list_types(const Napi::CallbackInfo& info) {
  auto list = Napi::Array::New(info.Env());
  for (size_t i = 0; i < kTypes.size(); ++i) {
    auto type = Napi::Object::New(info.Env());
    type.Set("name", std::string(kTypes[i].name));
    type.Set("id", kTypes[i].gguf_id);
    type.Set("elements", kTypes[i].block_elements);
    type.Set("bytes", kTypes[i].block_bytes);
    type.Set("isWritten", can_quantize(Type(i)));
    type.Set("isRounded", takes_rounded(Type(i)));
    list.Set(uint32_t(i), type);
  }
  return list;
}

// syntheticRow(type, seed, row, columns): a row of made-up weights, a Uint8Array.
Napi::Value synthetic_row(const Napi::CallbackInfo& info) {
  return or_throw(info.Env(), [&] {
    const Type type = to_type(info[0].ToString());
    const int columns = info[3].ToNumber();
    auto row = Napi::Uint8Array::New(info.Env(), size_t(bytes_of(type, columns)));
    make_synthetic_row(type, info[1].ToNumber(), info[2].ToNumber(), columns, reinterpret_cast<std::byte*>(row.Data()));
    return row;
  });
}

// The scales of f8_e4m3, from { values, blockRows, blockColumns, skippedRows }.
ScaleGrid to_grid(const Napi::Value& from, int columns) {
  if (!from.IsObject()) return {};
  const auto object = from.As<Napi::Object>();
  const auto integer = [&](const char* name) { return object.Get(name).ToNumber().Int32Value(); };
  const int block_columns = integer("blockColumns");
  return {.values = object.Get("values").As<Napi::Float32Array>().Data(),
          .columns = (columns + block_columns - 1) / block_columns,
          .block_rows = integer("blockRows"),
          .block_columns = block_columns,
          .skipped_rows = integer("skippedRows")};
}

// multiply(type, weights, outputs, columns, x, rows, scales, activations): the CPU device's product [rows, outputs], on
// one thread.
Napi::Value multiply_rows(const Napi::CallbackInfo& info) {
  const std::string name = info[0].ToString();
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const int outputs = info[2].ToNumber(), columns = info[3].ToNumber(), rows = info[5].ToNumber();
  const auto x = info[4].As<Napi::Float32Array>();
  return or_throw(info.Env(), [&] {
    const std::optional<Type> type = type_named(name);
    if (!type || columns % facts_of(*type).block_elements ||
        int64_t(bytes.ByteLength()) != outputs * bytes_of(*type, columns) ||
        int64_t(x.ElementLength()) != int64_t(rows) * columns)
      throw Error("KEXA_INTERNAL", "the sizes of a product do not fit its weights of " + name);
    const Matrix weight{reinterpret_cast<const std::byte*>(bytes.Data()), *type, outputs, columns,
                        to_grid(info[6], columns)};
    auto y = Napi::Float32Array::New(info.Env(), size_t(rows) * outputs);
    ThreadPool pool(1);
    RoundedRows rounded;
    const bool is_rounding = info[7].IsString() && std::string(info[7].ToString()) == "i16";
    if (is_rounding) {
      rounded.reserve(rows, columns);
      rounded.make(pool, x.Data(), columns, rows, columns);
    }
    multiply(pool, weight, {x.Data(), columns}, {y.Data(), outputs}, rows, is_rounding ? &rounded : nullptr);
    return y;
  });
}

// readFp8(bytes, rows, columns, scales): the CPU device's values of an FP8 matrix.
Napi::Value read_fp8_rows(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const int rows = info[1].ToNumber(), columns = info[2].ToNumber();
  const Matrix matrix{reinterpret_cast<const std::byte*>(bytes.Data()), Type::kF8E4m3, rows, columns,
                      to_grid(info[3], columns)};
  auto values = Napi::Float32Array::New(info.Env(), size_t(rows) * columns);
  for (int row = 0; row < rows; ++row) read_row(matrix, row, values.Data() + size_t(row) * columns);
  return values;
}

// panel(set, type, weights, columns, x, rows, activations): the products [rows, 6] of six weight rows by the loops of
// an instruction set. 'i16' activations are rounded first. Null if the type does not take rounded rows.
Napi::Value multiply_panel_by(const Napi::CallbackInfo& info) {
  const std::string set_name = info[0].ToString(), type_text = info[1].ToString();
  const auto bytes = info[2].As<Napi::Uint8Array>();
  const int columns = info[3].ToNumber(), rows = info[5].ToNumber();
  const auto x = info[4].As<Napi::Float32Array>();
  return or_throw(info.Env(), [&]() -> Napi::Value {
    const Type type = type_named(type_text).value();
    const bool is_rounding = info[6].IsString() && std::string(info[6].ToString()) == "i16";
    if (is_rounding && !takes_rounded(type)) return info.Env().Null();
    ThreadPool pool(1);
    RoundedRows rounded;
    rounded.reserve(rows, columns);
    rounded.make(pool, x.Data(), columns, rows, columns);
    for (InstructionSet set : instruction_sets()) {
      if (instruction_set_name(set) != set_name) continue;
      PanelSource source{.type = type, .columns = columns, .rows = {}, .scales = {}};
      for (int o = 0; o < kPanelOutputs; ++o)
        source.rows[o] = reinterpret_cast<const std::byte*>(bytes.Data()) + o * bytes_of(type, columns);
      std::vector<const float*> from(rows);
      for (int r = 0; r < rows; ++r) from[r] = x.Data() + size_t(r) * columns;
      std::vector<float> out(kPanelOutputs * kPanelRows);
      std::vector<const RoundedBlock*> rounded_from(rows);
      for (int r = 0; r < rows; ++r) rounded_from[r] = rounded.row(r);
      if (is_rounding)
        panel_kernels(set).multiply_rounded_panel(source, rounded_from.data(), rows, out.data());
      else
        panel_kernels(set).multiply_panel(source, from.data(), rows, out.data());
      auto y = Napi::Float32Array::New(info.Env(), size_t(rows) * kPanelOutputs);
      for (int r = 0; r < rows; ++r)
        for (int o = 0; o < kPanelOutputs; ++o) y[size_t(r) * kPanelOutputs + o] = out[o * kPanelRows + r];
      return y.As<Napi::Value>();
    }
    throw Error("KEXA_INTERNAL", "this processor has no instruction set " + set_name);
  });
}

InstructionSet set_named(const std::string& name) {
  for (InstructionSet set : instruction_sets())
    if (instruction_set_name(set) == name) return set;
  throw Error("KEXA_INTERNAL", "this processor has no instruction set " + name);
}

// chooseTokens(set, logits, vocab, options, ids, promptSize): two Int32Arrays with a token for each row of logits: by
// the sampler with an instruction set's loops, and by the definition. Row i is drawn with seed + i.
Napi::Value choose_tokens(const Napi::CallbackInfo& info) {
  const std::string set = info[0].ToString();
  const auto rows = info[1].As<Napi::Float32Array>();
  const size_t vocab = size_t(info[2].ToNumber().Int64Value());
  const auto options = info[3].As<Napi::Object>();
  const std::vector<int> ids = to_ids(info[4]);
  const size_t prompt_size = size_t(info[5].ToNumber().Int64Value());
  SamplingParams params = to_generate_params(options).sampling;
  return or_throw(info.Env(), [&] {
    const size_t count = rows.ElementLength() / vocab;
    auto found = Napi::Int32Array::New(info.Env(), count), plain = Napi::Int32Array::New(info.Env(), count);
    for (size_t i = 0; i < count; ++i, ++params.seed) {
      const std::span<const float> logits(rows.Data() + i * vocab, vocab);
      found[i] = Sampler(params, int(vocab), panel_kernels(set_named(set))).choose(logits, ids, prompt_size);
      plain[i] = choose_plainly(params, logits, ids, prompt_size);
    }
    auto both = Napi::Array::New(info.Env(), 2);
    both.Set(0u, found);
    both.Set(1u, plain);
    return both.As<Napi::Value>();
  });
}

// logprobsOf(logits, vocab, alternatives): two Float32Arrays, from the engine and from the definition. For each row
// they have the log-probability of token 0, then the id and log-probability of each alternative.
Napi::Value logprobs_of(const Napi::CallbackInfo& info) {
  const auto rows = info[0].As<Napi::Float32Array>();
  const size_t vocab = size_t(info[1].ToNumber().Int64Value());
  const int alternatives = info[2].ToNumber();
  std::vector<float> found[2];
  for (size_t at = 0; at < rows.ElementLength(); at += vocab)
    for (int way = 0; way < 2; ++way) {
      const std::span<const float> logits(rows.Data() + at, vocab);
      const Choice choice =
          way == 0 ? with_logprobs(0, logits, alternatives) : with_plain_logprobs(0, logits, alternatives);
      found[way].push_back(choice.logprob);
      for (const auto& [token, logprob] : choice.top) found[way].insert(found[way].end(), {float(token), logprob});
    }
  auto both = Napi::Array::New(info.Env(), 2);
  for (uint32_t way = 0; way < 2; ++way) both.Set(way, to_array(info.Env(), found[way]));
  return both;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  napi_add_env_cleanup_hook(env, [](void*) { close_kept_devices(); }, nullptr);
  exports.Set("Probe", ProbeObject::define(env));
  exports.Set("StepProbe", StepProbeObject::define(env));
  export_plan_checks(env, exports);
  exports.Set("chooseTokens", Napi::Function::New(env, choose_tokens));
  exports.Set("logprobsOf", Napi::Function::New(env, logprobs_of));
  exports.Set("placeExperts", Napi::Function::New(env, place_experts));
  exports.Set("types", Napi::Function::New(env, list_types));
  exports.Set("dequantize", Napi::Function::New(env, dequantize_blocks));
  exports.Set("readFp8", Napi::Function::New(env, read_fp8_rows));
  exports.Set("syntheticRow", Napi::Function::New(env, synthetic_row));
  exports.Set("panel", Napi::Function::New(env, multiply_panel_by));
  exports.Set("multiply", Napi::Function::New(env, multiply_rows));
  return exports;
}

}  // namespace

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return init(env, exports); }
NODE_API_MODULE(kexa_checks, init_module)

}  // namespace kexa
