#include "addon/adapters.h"

#ifdef KEXA_GPU
#include "gpu/gpu.h"
#endif
#include "base/error.h"

namespace kexa {

#ifdef KEXA_GPU
namespace {

// Opening a driver takes a while: off the event loop.
class ListAdapters final : public Napi::AsyncWorker {
 public:
  ListAdapters(Napi::Env env, std::string library)
      : Napi::AsyncWorker(env, "kexa.adapters"),
        library_(std::move(library)),
        deferred_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override {
    try {
      load_dawn(library_);
      adapters_ = list_adapters();
    } catch (const Error& error) {
      SetError(error.what());
    }
  }
  void OnOK() override {
    const Napi::Env env = Env();
    auto list = Napi::Array::New(env, adapters_.size());
    for (uint32_t i = 0; i < adapters_.size(); ++i) {
      const AdapterFacts& facts = adapters_[i];
      auto adapter = Napi::Object::New(env);
      adapter.Set("vendor", facts.vendor);
      adapter.Set("architecture", facts.architecture);
      adapter.Set("device", facts.device);
      adapter.Set("description", facts.description);
      adapter.Set("backend", facts.backend);
      adapter.Set("isSoftware", facts.is_software);
      adapter.Set("hasF16", facts.has_f16);
      adapter.Set("hasSubgroups", facts.has_subgroups);
      adapter.Set("hasTimestamps", facts.has_timestamps);
      adapter.Set("hasSubgroupMatrices", facts.has_subgroup_matrices);
      adapter.Set("subgroupMin", facts.subgroup_min);
      adapter.Set("subgroupMax", facts.subgroup_max);
      adapter.Set("maxBufferBytes", double(facts.max_buffer_bytes));
      adapter.Set("maxBindingBytes", double(facts.max_binding_bytes));
      adapter.Set("maxWorkgroupBytes", facts.max_workgroup_bytes);
      adapter.Set("maxInvocations", facts.max_invocations);
      list.Set(i, adapter);
    }
    deferred_.Resolve(list);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  std::string library_;
  Napi::Promise::Deferred deferred_;
  std::vector<AdapterFacts> adapters_;
};

}  // namespace

Napi::Value list_adapters(const Napi::CallbackInfo& info) {
  auto* worker = new ListAdapters(info.Env(), info[0].ToString());
  const auto promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value vulkan_problem(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), open_vulkan()); }
#else
Napi::Value vulkan_problem(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), "this addon was built without Dawn's header: CPU only");
}

Napi::Value list_adapters(const Napi::CallbackInfo& info) {
  auto deferred = Napi::Promise::Deferred::New(info.Env());
  deferred.Reject(Napi::Error::New(info.Env(), "this addon was built without Dawn's header: CPU only").Value());
  return deferred.Promise();
}
#endif

}  // namespace kexa
