#include "gpu/adapter.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "gpu/callback.h"

namespace kexa {
namespace {

constexpr uint64_t kWaitNanoseconds = 60'000'000'000;
// Dawn offers experimental features, and the toggles below, only with this toggle.
constexpr const char* kInstanceToggles[] = {"allow_unsafe_apis"};
// NVIDIA's older drivers have f16 only with a toggle.
constexpr const char* kAdapterToggles[] = {"allow_unsafe_apis", "vulkan_enable_f16_on_nvidia",
                                           "use_vulkan_memory_model"};

constexpr WGPUFeatureName kWantedFeatures[] = {
    WGPUFeatureName_ShaderF16,
    WGPUFeatureName_Subgroups,
    WGPUFeatureName_TimestampQuery,
    WGPUFeatureName_ChromiumExperimentalTimestampQueryInsidePasses,
    WGPUFeatureName_ChromiumExperimentalSubgroupMatrix,
};

std::string lower(std::string string) {
  std::transform(string.begin(), string.end(), string.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return string;
}

struct Wish {
  WGPUBackendType backend = WGPUBackendType_Undefined;
  WGPUPowerPreference power = WGPUPowerPreference_Undefined;
  bool is_fallback = false;
};

WGPURequestAdapterOptions adapter_options(WGPUChainedStruct& toggles) {
  WGPURequestAdapterOptions options = WGPU_REQUEST_ADAPTER_OPTIONS_INIT;
  options.nextInChain = &toggles;
  options.featureLevel = WGPUFeatureLevel_Core;
  return options;
}

// The adapter that fits the wish. Null if there is none.
AdapterHandle request_adapter(WGPUInstance instance, const Wish& wish) {
  auto toggles = enabled_toggles(kAdapterToggles);
  WGPURequestAdapterOptions options = adapter_options(toggles.chain);
  options.powerPreference = wish.power;
  options.forceFallbackAdapter = wish.is_fallback;
  options.backendType = wish.backend;
  const auto adapter = std::make_shared<AdapterHandle>();
  WGPURequestAdapterCallbackInfo callback = WGPU_REQUEST_ADAPTER_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = lend(adapter);
  callback.callback = [](WGPURequestAdapterStatus, WGPUAdapter found, WGPUStringView, void* to, void*) {
    *take_back<AdapterHandle>(to) = AdapterHandle(found);
  };
  WGPUFutureWaitInfo wait = WGPU_FUTURE_WAIT_INFO_INIT;
  wait.future = dawn().InstanceRequestAdapter(instance, &options, callback);
  // A driver that does not answer counts as one that has no adapter.
  dawn().InstanceWaitAny(instance, 1, &wait, kWaitNanoseconds);
  return std::move(*adapter);
}

std::string backend_name(WGPUBackendType backend) {
  switch (backend) {
    case WGPUBackendType_Vulkan:
      return "vulkan";
    case WGPUBackendType_Metal:
      return "metal";
    case WGPUBackendType_D3D12:
      return "d3d12";
    case WGPUBackendType_Null:
      return "null";
    default:
      return "other";
  }
}

std::string component_name(WGPUSubgroupMatrixComponentType type) {
  switch (type) {
    case WGPUSubgroupMatrixComponentType_F32:
      return "f32";
    case WGPUSubgroupMatrixComponentType_F16:
      return "f16";
    case WGPUSubgroupMatrixComponentType_U32:
      return "u32";
    case WGPUSubgroupMatrixComponentType_I32:
      return "i32";
    case WGPUSubgroupMatrixComponentType_U8:
      return "u8";
    case WGPUSubgroupMatrixComponentType_I8:
      return "i8";
    default:
      return "other";
  }
}

// The limits of an adapter. A library made for another webgpu.h may write more than this header's struct holds, or
// write it differently, so there is room beyond it.
WGPULimits read_limits(WGPUAdapter adapter) {
  struct {
    WGPULimits limits = WGPU_LIMITS_INIT;
    unsigned char beyond[256];
  } guarded;
  std::memset(guarded.beyond, 0x5a, sizeof guarded.beyond);
  dawn().AdapterGetLimits(adapter, &guarded.limits);
  const WGPULimits& limits = guarded.limits;
  const bool is_intact = std::all_of(std::begin(guarded.beyond), std::end(guarded.beyond),
                                     [](unsigned char byte) { return byte == 0x5a; });
  // Whether the limits are at least what WebGPU guarantees of every adapter.
  const bool is_plausible =
      limits.maxBufferSize >= (256u << 20) && limits.maxStorageBuffersPerShaderStage >= 8 &&
      limits.maxStorageBuffersPerShaderStage <= 1 << 20 && limits.maxComputeInvocationsPerWorkgroup >= 128 &&
      limits.maxComputeInvocationsPerWorkgroup <= 1 << 16 && limits.minStorageBufferOffsetAlignment >= 4 &&
      limits.minStorageBufferOffsetAlignment <= 256;
  if (!is_intact || !is_plausible)
    throw Error("KEXA_NO_DEVICE",
                "Dawn's library cannot be used: it was made for another webgpu.h (limits do not read back)");
  return limits;
}

AdapterFacts read_facts(WGPUAdapter adapter) {
  const WGPULimits limits = read_limits(adapter);
  const auto has = [&](WGPUFeatureName feature) { return bool(dawn().AdapterHasFeature(adapter, feature)); };
  WGPUAdapterInfo info = WGPU_ADAPTER_INFO_INIT;
  WGPUAdapterPropertiesMemoryHeaps heaps = WGPU_ADAPTER_PROPERTIES_MEMORY_HEAPS_INIT;
  WGPUAdapterPropertiesSubgroupMatrixConfigs matrices = WGPU_ADAPTER_PROPERTIES_SUBGROUP_MATRIX_CONFIGS_INIT;
  const auto chain = [&](WGPUChainedStruct& link) {
    link.next = info.nextInChain;
    info.nextInChain = &link;
  };
  if (has(WGPUFeatureName_AdapterPropertiesMemoryHeaps)) chain(heaps.chain);
  if (has(WGPUFeatureName_ChromiumExperimentalSubgroupMatrix)) chain(matrices.chain);
  dawn().AdapterGetInfo(adapter, &info);
  AdapterFacts facts{
      .vendor = text(info.vendor),
      .architecture = text(info.architecture),
      .device = text(info.device),
      .description = text(info.description),
      .backend = backend_name(info.backendType),
      .is_software = info.adapterType == WGPUAdapterType_CPU,
      .is_integrated = info.adapterType == WGPUAdapterType_IntegratedGPU,
      .has_f16 = has(WGPUFeatureName_ShaderF16),
      .has_subgroups = has(WGPUFeatureName_Subgroups),
      .has_timestamps = has(WGPUFeatureName_TimestampQuery),
      .has_subgroup_matrices = has(WGPUFeatureName_ChromiumExperimentalSubgroupMatrix),
      .has_timestamps_inside_passes = has(WGPUFeatureName_ChromiumExperimentalTimestampQueryInsidePasses),
      .subgroup_min = info.subgroupMinSize,
      .subgroup_max = info.subgroupMaxSize,
      .max_buffer_bytes = limits.maxBufferSize,
      .max_binding_bytes = limits.maxStorageBufferBindingSize,
      .max_workgroup_bytes = limits.maxComputeWorkgroupStorageSize,
      .max_invocations = limits.maxComputeInvocationsPerWorkgroup,
      .max_workgroup_size_x = limits.maxComputeWorkgroupSizeX,
      .max_storage_buffers = limits.maxStorageBuffersPerShaderStage,
      .matrix_shapes = {},
      .heaps = {}};
  for (size_t i = 0; i < heaps.heapCount; ++i) {
    const WGPUMemoryHeapInfo& heap = heaps.heapInfo[i];
    facts.heaps.push_back({.bytes = heap.size,
                           .is_device_local = bool(heap.properties & WGPUHeapProperty_DeviceLocal),
                           .is_host_visible = bool(heap.properties & WGPUHeapProperty_HostVisible)});
  }
  for (size_t i = 0; i < matrices.configCount; ++i) {
    const WGPUSubgroupMatrixConfig& config = matrices.configs[i];
    facts.matrix_shapes.push_back({.component = component_name(config.componentType),
                                   .result = component_name(config.resultComponentType),
                                   .m = config.M,
                                   .n = config.N,
                                   .k = config.K});
  }
  dawn().AdapterInfoFreeMembers(info);
  if (heaps.heapInfo) dawn().AdapterPropertiesMemoryHeapsFreeMembers(heaps);
  if (matrices.configs) dawn().AdapterPropertiesSubgroupMatrixConfigsFreeMembers(matrices);
  return facts;
}

void need_vulkan(const std::string& path) {
  if (const std::string problem = open_vulkan(path); !problem.empty()) throw Error("KEXA_NO_DEVICE", problem);
}

// All adapters in the system's order, which is the same each time.
std::vector<FoundAdapter> enumerate(WGPUInstance instance, EnumerateAdapters enumerate_adapters) {
  std::vector<FoundAdapter> found;
  auto toggles = enabled_toggles(kAdapterToggles);
  const WGPURequestAdapterOptions options = adapter_options(toggles.chain);
  for (WGPUAdapter given : enumerate_adapters(&instance, &options)) {
    AdapterHandle adapter(given);
    if (!adapter) continue;
    AdapterFacts facts = read_facts(adapter);
    // Skips OpenGL, which lists the adapters of Vulkan again.
    if (facts.backend == "null" || facts.backend == "other") continue;
    found.push_back({std::move(adapter), std::move(facts)});
  }
  return found;
}

// For a Dawn without a list: one adapter for each wish, without repetitions.
std::vector<FoundAdapter> ask_for_adapters(WGPUInstance instance) {
  std::vector<FoundAdapter> found;
  const Wish wishes[] = {
      {.power = WGPUPowerPreference_HighPerformance}, {.power = WGPUPowerPreference_LowPower}, {.is_fallback = true}};
  for (const Wish& wish : wishes) {
    AdapterHandle adapter = request_adapter(instance, wish);
    if (!adapter) continue;
    AdapterFacts facts = read_facts(adapter);
    // Dawn falls back to the Null backend if it finds nothing better.
    if (facts.backend == "null") continue;
    const auto is_same = [&](const FoundAdapter& other) {
      return other.facts.device == facts.device && other.facts.description == facts.description;
    };
    if (std::none_of(found.begin(), found.end(), is_same)) found.push_back({std::move(adapter), std::move(facts)});
  }
  return found;
}

std::vector<FoundAdapter> find_adapters(WGPUInstance instance) {
  const EnumerateAdapters enumerate_adapters = dawn_enumerate_adapters();
  auto found = enumerate_adapters ? enumerate(instance, enumerate_adapters) : ask_for_adapters(instance);
  const auto rank = [](const FoundAdapter& adapter) {
    return 2 * int(adapter.facts.is_software) + int(adapter.facts.is_integrated);
  };
  std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return found;
}

// A wish such as "name:2": the third adapter of that name.
struct Wanted {
  std::string name;
  int index = 0;
};

Wanted parse_wanted(const std::string& text) {
  const size_t colon = text.rfind(':');
  int index = 0;
  if (colon == std::string::npos || colon + 1 == text.size()) return {text};
  const char *first = text.data() + colon + 1, *end = text.data() + text.size();
  const auto [stopped, fault] = std::from_chars(first, end, index);
  if (fault != std::errc() || stopped != end || index < 0) return {text};
  return {text.substr(0, colon), index};
}

bool is_wanted(const AdapterFacts& facts, const std::string& wanted) {
  if (wanted == "gpu") return !facts.is_software;
  return lower(facts.vendor + "\n" + facts.architecture + "\n" + facts.device + "\n" + facts.description)
             .find(lower(wanted)) != std::string::npos;
}

}  // namespace

InstanceHandle create_instance() {
  if (!dawn().HasInstanceFeature(WGPUInstanceFeatureName_TimedWaitAny))
    throw Error("KEXA_NO_DEVICE", "Dawn's library cannot be used: it has no timed waits");
  auto toggles = enabled_toggles(kInstanceToggles);
  const WGPUInstanceFeatureName features[] = {WGPUInstanceFeatureName_TimedWaitAny};
  WGPUInstanceDescriptor descriptor = WGPU_INSTANCE_DESCRIPTOR_INIT;
  descriptor.nextInChain = &toggles.chain;
  descriptor.requiredFeatureCount = 1;
  descriptor.requiredFeatures = features;
  InstanceHandle instance(dawn().CreateInstance(&descriptor));
  if (!instance) throw Error("KEXA_NO_DEVICE", "Dawn gave no instance");
  return instance;
}

FoundAdapter find_adapter(WGPUInstance instance, const std::string& wanted, const std::string& vulkan_library) {
  if (wanted == "null") {
    AdapterHandle adapter = request_adapter(instance, {.backend = WGPUBackendType_Null});
    if (!adapter) throw Error("KEXA_NO_DEVICE", "device: wanted 'null', but this Dawn was built without it");
    AdapterFacts facts = read_facts(adapter);
    // It runs nothing, so it may stand in for any GPU: the kernels made for it are those of NVIDIA.
    facts.is_software = false;
    facts.subgroup_min = facts.subgroup_max = 32;
    return {std::move(adapter), std::move(facts)};
  }
  need_vulkan(vulkan_library);
  auto found = find_adapters(instance);
  Wanted one = parse_wanted(wanted);
  const auto chosen = std::find_if(found.begin(), found.end(), [&](const FoundAdapter& adapter) {
    return is_wanted(adapter.facts, one.name) && one.index-- == 0;
  });
  if (chosen != found.end()) return std::move(*chosen);
  std::string names;
  for (const FoundAdapter& adapter : found) names += (names.empty() ? "" : ", ") + adapter.facts.device;
  throw Error("KEXA_NO_DEVICE",
              "device: wanted '" + wanted + "', Dawn found " + (names.empty() ? "no adapter" : names));
}

std::vector<AdapterFacts> list_adapters(const std::string& vulkan_library) {
  need_vulkan(vulkan_library);
  const InstanceHandle instance = create_instance();
  std::vector<AdapterFacts> facts;
  for (const FoundAdapter& found : find_adapters(instance)) facts.push_back(found.facts);
  return facts;
}

std::vector<WGPUFeatureName> wanted_features(WGPUAdapter adapter) {
  std::vector<WGPUFeatureName> features;
  for (const WGPUFeatureName feature : kWantedFeatures)
    if (dawn().AdapterHasFeature(adapter, feature)) features.push_back(feature);
  return features;
}

}  // namespace kexa
