#include "addon/adapters.h"

#include "addon/worker.h"

#ifdef KEXA_GPU
#include "gpu/adapter.h"
#endif

namespace kexa {

#ifdef KEXA_GPU
namespace {

// Runs off the event loop, because opening a driver takes a while.
class ListAdapters final : public Worker {
 public:
  ListAdapters(Napi::Env env, std::string library, std::string vulkan_library)
      : Worker(env, "kexa.adapters"), library_(std::move(library)), vulkan_library_(std::move(vulkan_library)) {}

 private:
  void work() override {
    load_dawn(library_);
    adapters_ = list_adapters(vulkan_library_);
  }
  Napi::Value result() override {
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
      adapter.Set("maxWorkgroupSizeX", facts.max_workgroup_size_x);
      adapter.Set("maxStorageBuffers", facts.max_storage_buffers);
      adapter.Set("hasTimestampsInsidePasses", facts.has_timestamps_inside_passes);
      adapter.Set("matrixShapes", matrix_shapes(env, facts));
      adapter.Set("heaps", heaps(env, facts));
      list.Set(i, adapter);
    }
    return list;
  }

  static Napi::Array matrix_shapes(Napi::Env env, const AdapterFacts& facts) {
    auto list = Napi::Array::New(env, facts.matrix_shapes.size());
    for (uint32_t i = 0; i < facts.matrix_shapes.size(); ++i) {
      const MatrixShape& from = facts.matrix_shapes[i];
      auto shape = Napi::Object::New(env);
      shape.Set("component", from.component);
      shape.Set("result", from.result);
      shape.Set("m", from.m);
      shape.Set("n", from.n);
      shape.Set("k", from.k);
      list.Set(i, shape);
    }
    return list;
  }
  static Napi::Array heaps(Napi::Env env, const AdapterFacts& facts) {
    auto list = Napi::Array::New(env, facts.heaps.size());
    for (uint32_t i = 0; i < facts.heaps.size(); ++i) {
      auto heap = Napi::Object::New(env);
      heap.Set("bytes", double(facts.heaps[i].bytes));
      heap.Set("isDeviceLocal", facts.heaps[i].is_device_local);
      heap.Set("isHostVisible", facts.heaps[i].is_host_visible);
      list.Set(i, heap);
    }
    return list;
  }

  std::string library_, vulkan_library_;
  std::vector<AdapterFacts> adapters_;
};

}  // namespace

Napi::Value list_adapters(const Napi::CallbackInfo& info) {
  return Worker::start(std::make_unique<ListAdapters>(info.Env(), info[0].ToString(), info[1].ToString()));
}

Napi::Value vulkan_problem(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), open_vulkan(info[0].ToString()));
}
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
